//! The time after a partition of jobs was taken over.

use crate::bus::{Delivery, Progress, Stored, Stream};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};
use tokio::time::Instant;

/// What may be held elsewhere, by key.
pub(super) type Suspects = HashMap<Arc<str>, BTreeSet<u64>>;

/// How often to look whether all that was held elsewhere is settled.
pub(super) const PROGRESS_INTERVAL: Duration = Duration::from_millis(500);

/// After how long all that a dead reader held has come again.
const TAKEOVER_TIMEOUT: Duration = Duration::from_secs(35);

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
    suspects: Option<Suspects>,
    /// What came and may not go on yet, in the order of the stream.
    pub(super) waiting: BTreeMap<u64, Delivery>,
}

impl Limbo {
    /// Begins, with what may be held elsewhere and what waits already.
    pub(super) fn new(
        now: Instant,
        suspects: Option<Suspects>,
        waiting: BTreeMap<u64, Delivery>,
    ) -> Self {
        let elsewhere = usize::MAX;
        Self { since: now, look: now + PROGRESS_INTERVAL, elsewhere, suspects, waiting }
    }

    /// Notes what came, and says whether it may go on at once.
    pub(super) fn takes(&mut self, key: &str, sequence: u64) -> bool {
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
    pub(super) fn pop(&mut self) -> Option<Delivery> {
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
    pub(super) fn learns(
        &mut self,
        progress: Option<&Progress>,
        here: usize,
        now: Instant,
    ) -> bool {
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
        now >= self.since + TAKEOVER_TIMEOUT
    }
}

/// Reads which messages may be held elsewhere; nothing if they are too many, or
/// cannot be read.
pub(super) async fn suspects(
    events: &Stream,
    partition: u32,
    progress: &Progress,
) -> Option<Suspects> {
    let mut suspects = Suspects::new();
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

/// Returns the key's token in a job's subject.
pub(super) fn key_of(stored: &Stored) -> &str {
    stored.subject.rsplit('.').next().unwrap_or_default()
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
        let late = start + TAKEOVER_TIMEOUT - PROGRESS_INTERVAL;
        assert!(!limbo.learns(Some(&progress(10, 9)), 1, start));
        assert!(!limbo.learns(Some(&progress(10, 8)), 1, late));
        assert!(!limbo.learns(Some(&progress(10, 8)), 1, start + TAKEOVER_TIMEOUT));
        assert!(limbo.learns(Some(&progress(10, 8)), 1, late + TAKEOVER_TIMEOUT));
    }

    #[test]
    fn it_ends_when_all_suspects_are_settled() {
        let now = Instant::now();
        assert!(limbo(now).learns(Some(&progress(11, 3)), 0, now));
    }
}
