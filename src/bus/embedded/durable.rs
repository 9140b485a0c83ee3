use super::{
    cursor::{Cursor, Turn},
    interest::Part,
};
use crate::bus::{ConsumerConfig, Progress};
use std::{collections::VecDeque, sync::Arc};
use tokio::{sync::Notify, time::Instant};

/// One durable consumer: its cursor, and the handles that wait for a message.
///
/// It has no timer. Of the waiting handles at least one sleeps no longer than
/// until the earliest redelivery, and as a rule only one is woken for a message:
/// that one wakes the next if there is more.
#[derive(Debug)]
pub(super) struct Durable {
    pub(super) cursor: Cursor,
    config: ConsumerConfig,
    part: Part,
    active: Option<u64>,
    waiting: Vec<Waiter>,
}

#[derive(Debug)]
struct Waiter {
    handle: u64,
    wake: Arc<Notify>,
    until: Option<Instant>,
    told: bool,
}

/// What a handle finds when it looks for a message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Look {
    Taken(Turn),
    Wait { until: Option<Instant> },
}

impl Durable {
    pub(super) fn new(config: &ConsumerConfig, part: Part, backlog: VecDeque<u64>) -> Self {
        Self {
            cursor: Cursor::new(config.into(), backlog),
            config: config.clone(),
            part,
            active: None,
            waiting: Vec::new(),
        }
    }

    /// Returns which part of the stream it reads.
    pub(super) const fn part(&self) -> &Part {
        &self.part
    }

    /// Returns what another declaration of this consumer would read differently.
    pub(super) fn differs(&self, wanted: &ConsumerConfig) -> Option<String> {
        let there = &self.config;
        let filter = (there.filter != wanted.filter)
            .then(|| format!("filter is {:?}, not {:?}", there.filter, wanted.filter));
        let partition = (there.partition != wanted.partition).then(|| {
            format!(
                "partition is {:?}, not {:?}",
                there.partition, wanted.partition
            )
        });
        let all: Vec<_> = filter.into_iter().chain(partition).collect();
        (!all.is_empty()).then(|| all.join("; "))
    }

    /// Takes over the limits of a newer declaration, and says whether they are others.
    pub(super) fn redeclare(&mut self, config: &ConsumerConfig, now: Instant) -> bool {
        let wanted = ConsumerConfig { start: self.config.start, ..config.clone() };
        if self.config == wanted {
            return false;
        }
        self.cursor.limit(config.into());
        self.config = wanted;
        self.nudge(now);
        true
    }

    /// Takes a message for a handle, or lets the handle wait for one.
    pub(super) fn look(&mut self, handle: u64, wake: &Arc<Notify>, now: Instant) -> Look {
        self.waiting.retain(|waiter| waiter.handle != handle);
        let chosen = !self.config.pinned || *self.active.get_or_insert(handle) == handle;
        let taken = if chosen { self.cursor.take(now) } else { None };
        if let Some(turn) = taken {
            self.nudge(now);
            return Look::Taken(turn);
        }
        let until = if chosen {
            self.cursor.next_at(now)
        } else {
            None
        };
        let wake = Arc::clone(wake);
        self.waiting
            .push(Waiter { handle, wake, until, told: false });
        self.nudge(now);
        Look::Wait { until }
    }

    /// Returns how far it is, as one of its handles sees it.
    pub(super) fn progress(&self, handle: u64) -> Progress {
        let ours = !self.config.pinned || self.active.is_none_or(|active| active == handle);
        Progress { ours, ..self.cursor.standing() }
    }

    /// Notes that a handle waits no more.
    pub(super) fn leave(&mut self, handle: u64, now: Instant) {
        self.waiting.retain(|waiter| waiter.handle != handle);
        self.nudge(now);
    }

    /// Notes that a handle is gone; what it has out comes again after its ack wait.
    pub(super) fn close(&mut self, handle: u64, now: Instant) {
        if self.active == Some(handle) {
            self.active = None;
        }
        self.leave(handle, now);
    }

    /// Wakes one waiting handle if there is something for it to do.
    pub(super) fn nudge(&mut self, now: Instant) {
        if self.waiting.is_empty() || self.waiting.iter().any(|waiter| waiter.told) {
            return;
        }
        let Some(at) = self.cursor.next_at(now) else {
            return;
        };
        if at > now && self.watched(at) {
            return;
        }
        let (pinned, active) = (self.config.pinned, self.active);
        // The one that watches the time goes on watching, if another can go.
        let chosen = self
            .waiting
            .iter_mut()
            .filter(|waiter| !pinned || active.is_none_or(|active| active == waiter.handle))
            .min_by_key(|waiter| waiter.until.is_some());
        if let Some(waiter) = chosen {
            waiter.told = true;
            waiter.wake.notify_one();
        }
    }

    /// Wakes all waiting handles, to look at the time.
    pub(super) fn rouse(&mut self) {
        for waiter in &mut self.waiting {
            waiter.told = true;
            waiter.wake.notify_one();
        }
    }

    fn watched(&self, at: Instant) -> bool {
        self.waiting
            .iter()
            .any(|waiter| waiter.until.is_some_and(|until| until <= at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const WAIT: Duration = Duration::from_secs(10);

    fn durable(pinned: bool) -> Durable {
        let mut config = ConsumerConfig::new("c");
        config.ack_wait = WAIT;
        config.pinned = pinned;
        Durable::new(&config, Part::All, VecDeque::new())
    }

    fn offer(durable: &mut Durable, sequence: u64, now: Instant) {
        durable.cursor.offer(sequence);
        durable.nudge(now);
    }

    fn told(durable: &Durable) -> Vec<u64> {
        let told = durable.waiting.iter().filter(|waiter| waiter.told);
        told.map(|waiter| waiter.handle).collect()
    }

    #[test]
    fn one_handle_is_woken_for_a_message_and_one_watches_the_time() {
        let (mut durable, wake, now) = (durable(false), Arc::new(Notify::new()), Instant::now());
        for handle in [1, 2, 3] {
            let found = durable.look(handle, &wake, now);
            assert_eq!(found, Look::Wait { until: None });
        }
        offer(&mut durable, 1, now);
        offer(&mut durable, 2, now);
        assert_eq!(told(&durable), [1]);
        assert!(matches!(durable.look(1, &wake, now), Look::Taken(_)));
        assert_eq!(told(&durable), [2]);
        assert!(matches!(durable.look(2, &wake, now), Look::Taken(_)));
        assert_eq!(told(&durable), [3], "to watch for the redelivery");
        let found = durable.look(3, &wake, now);
        assert_eq!(found, Look::Wait { until: Some(now + WAIT) });
        assert_eq!(told(&durable), [0; 0]);
    }

    #[test]
    fn a_handle_that_leaves_after_it_was_woken_wakes_another() {
        let (mut durable, wake, now) = (durable(false), Arc::new(Notify::new()), Instant::now());
        durable.look(1, &wake, now);
        durable.look(2, &wake, now);
        offer(&mut durable, 1, now);
        durable.leave(1, now);
        assert_eq!(told(&durable), [2]);
    }

    #[test]
    fn a_pinned_consumer_goes_to_the_next_handle_when_the_first_is_gone() {
        let (mut durable, wake, now) = (durable(true), Arc::new(Notify::new()), Instant::now());
        durable.look(1, &wake, now);
        durable.look(2, &wake, now);
        offer(&mut durable, 1, now);
        assert_eq!(durable.look(2, &wake, now), Look::Wait { until: None });
        assert!(matches!(durable.look(1, &wake, now), Look::Taken(_)));
        durable.close(1, now);
        assert_eq!(told(&durable), [2]);
        let found = durable.look(2, &wake, now);
        assert_eq!(found, Look::Wait { until: Some(now + WAIT) });
        assert!(matches!(durable.look(2, &wake, now + WAIT), Look::Taken(_)));
    }
}
