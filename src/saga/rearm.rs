//! Live sagas that nothing would wake any more are found, and woken.

use super::desk::Desk;
use crate::{
    error::Failure,
    message::{Id, Key},
    telemetry::SAGAS_REARMED_TOTAL,
};
use std::{
    collections::HashMap,
    rc::Rc,
    time::{Duration, SystemTime},
};
use tokio::{task::yield_now, time::Instant};

/// After how long a runner that has just started looks for such sagas.
const FIRST: Duration = Duration::from_secs(1);

/// How often it looks again.
const AGAIN: Duration = Duration::from_mins(10);

/// How many sagas are asked about in one look; the others come next.
const AT_ONCE: usize = 10_000;

/// How many of them are asked about before others get a turn.
const TURN: usize = 64;

/// What a runner knows of all sagas of its kind: which are live.
///
/// It goes through the journals once, and at each later look through what was written
/// since. So a look costs what came in between, and two questions for each live saga
/// that has no alarm.
#[derive(Debug)]
pub(super) struct Rearm {
    /// Where the next look goes on.
    from: u64,
    /// The live ones, and until when they need not be asked about.
    live: HashMap<Box<str>, Option<SystemTime>>,
    next: Instant,
}

impl Rearm {
    pub(super) fn new(now: Instant) -> Self {
        Self { from: 1, live: HashMap::new(), next: now + FIRST }
    }

    /// Returns when to look next.
    pub(super) const fn next(&self) -> Instant {
        self.next
    }

    /// Goes on by the message of a journal.
    fn mark(&mut self, token: &str, moves: &str) {
        match moves.rsplit(',').next() {
            Some("ended" | "parked") => {
                self.live.remove(token);
            }
            _ => {
                self.live.entry(token.into()).or_default();
            }
        }
    }

    /// Returns which to ask about.
    fn due(&self, now: SystemTime) -> Vec<Box<str>> {
        let due = self.live.iter();
        due.filter(|(_, until)| until.is_none_or(|until| until <= now))
            .map(|(token, _)| token.clone())
            .take(AT_ONCE)
            .collect()
    }
}

/// Looks for live sagas that nothing would wake, and wakes them.
///
/// What was asked of a runner up to `floor` is done. So a live saga whose last errand is
/// not beyond that, and which has no alarm, is one that somebody died over: such as an
/// operator's command between its two writes.
pub(super) async fn look(desk: Rc<Desk>, mut rearm: Rearm, floor: u64) -> Rearm {
    if let Err(failure) = wake(&desk, &mut rearm, floor).await {
        tracing::warn!(saga = desk.plan.name, %failure, "live sagas were not looked for");
    }
    rearm.next = Instant::now() + AGAIN;
    rearm
}

async fn wake(desk: &Desk, rearm: &mut Rearm, floor: u64) -> Result<(), Failure> {
    let from = rearm.from;
    rearm.from = desk
        .journals
        .marks(from, |token, moves| rearm.mark(token, moves))
        .await?;
    let now = desk.journals.client.clock().now();
    for (at, token) in rearm.due(now).into_iter().enumerate() {
        if at % TURN == TURN - 1 {
            yield_now().await;
        }
        let Ok(id) = Key::from_token(&token) else {
            rearm.live.remove(&token);
            continue;
        };
        if desk.visits(&id) {
            continue;
        }
        // In this order: what rings in between is an errand then.
        let alarm = desk.errands.alarm(&id).await?;
        if let Some(due) = alarm.due {
            rearm.live.insert(token, Some(due));
            continue;
        }
        if desk.errands.last(&id).await? > floor || desk.end_of(&id).await.is_some() {
            continue;
        }
        let saga = desk.plan.name;
        tracing::warn!(saga, %id, "a live saga had nothing to wake it, and is woken");
        metrics::counter!(SAGAS_REARMED_TOTAL, "saga" => saga).increment(1);
        desk.errands.wake(&id, Id::new()).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_live_sagas_are_kept_and_those_with_an_alarm_are_asked_about_once_it_rang() {
        let now = Instant::now();
        let mut rearm = Rearm::new(now);
        for (token, moves) in [
            ("a", "started,intended"),
            ("b", "started"),
            ("c", "started,intended"),
            ("b", "done,ended"),
            ("a", "parked"),
            ("a", "told"),
        ] {
            rearm.mark(token, moves);
        }
        let today = SystemTime::UNIX_EPOCH + Duration::from_hours(24);
        let due = |rearm: &Rearm, now| {
            let mut due = rearm.due(now);
            due.sort_unstable();
            due
        };
        assert_eq!(due(&rearm, today), ["a".into(), "c".into()]);
        let rings = today + Duration::from_secs(1);
        rearm.live.insert("c".into(), Some(rings));
        assert_eq!(due(&rearm, today), ["a".into()]);
        assert_eq!(due(&rearm, rings), ["a".into(), "c".into()]);
    }
}
