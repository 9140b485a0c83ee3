//! A partition taken over: what the reader before it held comes first.

use super::{ACK_WAIT, held::key_of, reading::Reading};
use crate::{
    bus::{Delivery, Progress, Stream},
    telemetry::TAKEOVERS_TOTAL,
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};
use tokio::time::Instant;

/// How often to look whether all that was held elsewhere is settled.
const LOOK: Duration = Duration::from_millis(500);

/// After how long all that a dead reader held has come again.
const PATIENCE: Duration = ACK_WAIT.saturating_add(Duration::from_secs(5));

/// How many messages that may be held elsewhere are told from each other.
const SUSPECTS: usize = 10_000;

/// The time after a takeover, in which older events may still come.
///
/// An event goes on when no older one of its key can come any more.
#[derive(Debug)]
pub(super) struct Limbo {
    /// When it began, or when what is held elsewhere became less.
    since: Instant,
    /// When to look again.
    pub(super) look: Instant,
    /// How many messages were held elsewhere, or on their way, at the last look.
    elsewhere: usize,
    /// What may be held elsewhere, by key; nothing if that is too much to tell.
    suspects: Option<HashMap<Arc<str>, BTreeSet<u64>>>,
    /// What came and may not go on yet, in the order of the stream.
    pub(super) waiting: BTreeMap<u64, Delivery>,
}

impl Limbo {
    /// Notes what came, and says whether it may go on at once.
    fn takes(&mut self, key: &str, sequence: u64) -> bool {
        let Some(suspects) = &mut self.suspects else {
            return false;
        };
        let Some(older) = suspects.get_mut(key) else {
            return true;
        };
        older.remove(&sequence);
        older.first().is_none_or(|first| *first > sequence)
    }

    /// Returns the first of what waits that may go on.
    fn pop(&mut self) -> Option<Delivery> {
        let suspects = self.suspects.as_ref()?;
        let free = self.waiting.iter().find(|(sequence, delivery)| {
            let older = suspects.get(key_of(&delivery.message));
            older
                .and_then(BTreeSet::first)
                .is_none_or(|first| first > *sequence)
        });
        let sequence = *free?.0;
        self.waiting.remove(&sequence)
    }

    /// Takes in how far the consumer is, and how many messages are held here;
    /// whether nothing older can come any more.
    ///
    /// What was delivered and has not arrived counts as held elsewhere: it may be
    /// the oldest of its key.
    fn learns(&mut self, progress: Option<&Progress>, here: usize, now: Instant) -> bool {
        if let Some(progress) = progress {
            let elsewhere = progress.outstanding.saturating_sub(here);
            if elsewhere < self.elsewhere {
                self.since = now;
            }
            self.elsewhere = elsewhere;
            if let Some(suspects) = &mut self.suspects {
                suspects.retain(|_, older| {
                    older.retain(|sequence| *sequence > progress.floor);
                    !older.is_empty()
                });
            }
            let resolved = self.suspects.as_ref().is_some_and(HashMap::is_empty);
            if resolved || elsewhere == 0 {
                return true;
            }
        }
        now >= self.since + PATIENCE
    }
}

impl Reading<'_> {
    /// Finds out, when others may have been served before, what they left behind.
    pub(super) async fn take_over(&mut self, first: &Delivery) -> Result<(), String> {
        self.refresh().await?;
        let now = Instant::now();
        let limbo = self.limbo.take();
        let waiting = limbo.map(|limbo| limbo.waiting).unwrap_or_default();
        let progress = self.consumer.progress().await;
        let here = self.live().len() + waiting.len();
        let elsewhere = progress.as_ref().map(|progress| {
            let coming = (progress.turns + 1).saturating_sub(first.turn);
            let here = here + usize::try_from(coming).unwrap_or(usize::MAX);
            progress.outstanding.saturating_sub(here)
        });
        let is_new = first.attempt == 1 && waiting.is_empty();
        // What comes again comes before what is new, but not in order for sure.
        if is_new && elsewhere.as_ref().is_ok_and(|elsewhere| *elsewhere == 0) {
            return Ok(());
        }
        let child = self.reaction.path.to_string();
        tracing::info!(
            child,
            ?elsewhere,
            "a partition is taken over while events of it are out"
        );
        metrics::counter!(TAKEOVERS_TOTAL, "child" => child).increment(1);
        let mut suspects = match progress {
            Ok(progress) => suspects(&self.events, self.reaction.partition, &progress).await,
            Err(_) => None,
        };
        let held = self.lanes.iter_mut().map(|(_, held)| held.stored());
        let waits = waiting.values().map(|delivery| &delivery.message);
        for stored in held.chain(waits) {
            let of_key = suspects
                .as_mut()
                .and_then(|all| all.get_mut(key_of(stored)));
            of_key.map(|of_key| of_key.remove(&stored.sequence));
        }
        let look = now + LOOK;
        let elsewhere = usize::MAX;
        self.limbo = Some(Limbo { since: now, look, elsewhere, suspects, waiting });
        self.attend(look);
        Ok(())
    }

    /// Holds an event back that an older one of its key may follow.
    pub(super) fn hold_back(&mut self, delivery: Delivery) -> Option<Delivery> {
        let Some(limbo) = &mut self.limbo else {
            return Some(delivery);
        };
        let sequence = delivery.message.sequence;
        if limbo.takes(key_of(&delivery.message), sequence) {
            return Some(delivery);
        }
        limbo.waiting.insert(sequence, delivery);
        None
    }

    /// Lets go on what need not wait any more.
    pub(super) async fn let_on(&mut self) {
        while let Some(delivery) = self.limbo.as_mut().and_then(Limbo::pop) {
            self.admit(delivery).await;
        }
    }

    /// Looks whether all that was held elsewhere is settled.
    pub(super) async fn clear_up(&mut self, now: Instant) {
        let Some(limbo) = &mut self.limbo else {
            return;
        };
        if limbo.look <= now {
            limbo.look = now + LOOK;
            let progress = self.consumer.progress().await.ok();
            if progress.is_some_and(|progress| !progress.ours) {
                self.lost = true;
                return;
            }
            let mut here = self.live();
            // Whoever is still at work elsewhere may have parked a key.
            self.look_up().await;
            if let Some(limbo) = &mut self.limbo {
                here.extend(limbo.waiting.keys());
            }
            if let Some(limbo) = &mut self.limbo
                && limbo.learns(progress.as_ref(), here.len(), now)
            {
                let waiting = std::mem::take(&mut limbo.waiting);
                self.limbo = None;
                for delivery in waiting.into_values() {
                    self.admit(delivery).await;
                }
            }
            self.let_on().await;
        }
        if let Some(limbo) = &self.limbo {
            self.attend(limbo.look);
        }
    }
}

/// Reads which messages may be held elsewhere; nothing if they are too many, or
/// cannot be read.
async fn suspects(
    events: &Stream,
    partition: u32,
    progress: &Progress,
) -> Option<HashMap<Arc<str>, BTreeSet<u64>>> {
    let mut suspects: HashMap<Arc<str>, BTreeSet<u64>> = HashMap::new();
    let mut reader = events
        .read_partition(partition, progress.floor + 1)
        .await
        .ok()?;
    for _ in 0..SUSPECTS {
        let Some(stored) = reader.next().await.ok()? else {
            return Some(suspects);
        };
        if stored.sequence > progress.delivered {
            return Some(suspects);
        }
        let key = Arc::from(key_of(&stored));
        suspects.entry(key).or_default().insert(stored.sequence);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limbo(since: Instant) -> Limbo {
        let suspects = HashMap::from([(Arc::from("a"), BTreeSet::from([11]))]);
        Limbo {
            since,
            look: since,
            elsewhere: usize::MAX,
            suspects: Some(suspects),
            waiting: BTreeMap::new(),
        }
    }

    fn progress(floor: u64, outstanding: usize) -> Progress {
        Progress { floor, delivered: 20, turns: 40, outstanding, ours: true }
    }

    #[test]
    fn what_was_delivered_and_has_not_arrived_may_be_the_oldest() {
        let now = Instant::now();
        let mut limbo = limbo(now);
        assert!(!limbo.learns(Some(&progress(10, 7)), 6, now));
        assert!(limbo.learns(Some(&progress(10, 7)), 7, now));
    }

    #[test]
    fn as_long_as_somebody_else_gets_on_it_is_waited_for() {
        let start = Instant::now();
        let mut limbo = limbo(start);
        let late = start + PATIENCE - LOOK;
        assert!(!limbo.learns(Some(&progress(10, 9)), 1, start));
        assert!(!limbo.learns(Some(&progress(10, 8)), 1, late));
        assert!(!limbo.learns(Some(&progress(10, 8)), 1, start + PATIENCE));
        assert!(limbo.learns(Some(&progress(10, 8)), 1, late + PATIENCE));
    }

    #[test]
    fn it_ends_when_all_suspects_are_settled() {
        let now = Instant::now();
        assert!(limbo(now).learns(Some(&progress(11, 3)), 0, now));
    }
}
