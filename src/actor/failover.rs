//! The time after a partition was taken over, of events as of jobs.

use crate::bus::{Delivery, Progress, Stored, Stream};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};
use tokio::time::Instant;

/// What may be held elsewhere, by key; nothing if that is too much to tell.
pub(super) type Suspects = Option<HashMap<Arc<str>, BTreeSet<u64>>>;

/// How often to look whether all that was held elsewhere is settled.
pub(super) const PROGRESS_INTERVAL: Duration = Duration::from_millis(500);

/// How long what a reader was given may stay without a sign of life.
pub(super) const ACK_WAIT: Duration = Duration::from_secs(30);

/// After how long all that a dead reader held has come again.
const TAKEOVER_TIMEOUT: Duration = ACK_WAIT.saturating_add(Duration::from_secs(5));

/// How many messages that may be held elsewhere are told from each other.
const SUSPECTS: usize = 10_000;

/// How many bytes of them are read for that.
const SUSPECT_BYTES: usize = 64 << 20;

/// The time after a takeover, in which older messages may still come.
///
/// A message goes on when no older one of its key can come any more.
#[derive(Debug)]
pub(super) struct Failover {
    /// When it began, or when what is held elsewhere became less.
    since: Instant,
    /// When to look again.
    pub(super) look: Instant,
    /// How many messages were held elsewhere, or on their way, at the last look.
    elsewhere: usize,
    suspects: Suspects,
    /// What came and may not go on yet, in the order of the stream.
    pub(super) waiting: BTreeMap<u64, Delivery>,
}

impl Failover {
    /// Begins, with what waits already; what may be held elsewhere is not known.
    pub(super) fn new(now: Instant, waiting: BTreeMap<u64, Delivery>) -> Self {
        Self {
            since: now,
            look: now + PROGRESS_INTERVAL,
            elsewhere: usize::MAX,
            suspects: None,
            waiting,
        }
    }

    /// Takes in what may be held elsewhere, of which some is held or waits here.
    pub(super) fn suspect<'a>(
        &mut self,
        mut suspects: Suspects,
        held: impl Iterator<Item = &'a Stored>,
        now: Instant,
    ) {
        if let Some(suspects) = &mut suspects {
            let mut is_here = |stored: &Stored| {
                if let Some(of_key) = suspects.get_mut(key_of(stored)) {
                    of_key.remove(&stored.sequence);
                }
            };
            held.for_each(&mut is_here);
            let waiting = self.waiting.values();
            waiting.for_each(|delivery| is_here(&delivery.message));
        }
        (self.suspects, self.since) = (suspects, now);
        self.look = now + PROGRESS_INTERVAL;
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
pub(super) async fn suspects(stream: &Stream, partition: u32, progress: &Progress) -> Suspects {
    let mut bytes = 0;
    let mut suspects: HashMap<Arc<str>, BTreeSet<u64>> = HashMap::new();
    let mut reader = stream
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
        bytes += stored.payload.len();
        if bytes > SUSPECT_BYTES {
            break;
        }
        let key = Arc::from(key_of(&stored));
        suspects.entry(key).or_default().insert(stored.sequence);
    }
    None
}

/// Returns the key's token in a message's subject.
pub(super) fn key_of(stored: &Stored) -> &str {
    stored.subject.rsplit('.').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failover(since: Instant) -> Failover {
        let suspects = HashMap::from([(Arc::from("a"), BTreeSet::from([11]))]);
        let mut failover = Failover::new(since, BTreeMap::new());
        failover.suspect(Some(suspects), std::iter::empty(), since);
        failover
    }

    fn progress(floor: u64, outstanding: usize) -> Progress {
        Progress { floor, delivered: 20, turns: 40, outstanding, ours: true }
    }

    #[test]
    fn what_was_delivered_and_has_not_arrived_may_be_the_oldest() {
        let now = Instant::now();
        let mut failover = failover(now);
        assert!(!failover.learns(Some(&progress(10, 7)), 6, now));
        assert!(failover.learns(Some(&progress(10, 7)), 7, now));
    }

    #[test]
    fn as_long_as_somebody_else_gets_on_it_is_waited_for() {
        let start = Instant::now();
        let mut failover = failover(start);
        let late = start + TAKEOVER_TIMEOUT - PROGRESS_INTERVAL;
        assert!(!failover.learns(Some(&progress(10, 9)), 1, start));
        assert!(!failover.learns(Some(&progress(10, 8)), 1, late));
        assert!(!failover.learns(Some(&progress(10, 8)), 1, start + TAKEOVER_TIMEOUT));
        assert!(failover.learns(Some(&progress(10, 8)), 1, late + TAKEOVER_TIMEOUT));
    }

    #[test]
    fn it_ends_when_all_suspects_are_settled() {
        let now = Instant::now();
        assert!(failover(now).learns(Some(&progress(11, 3)), 0, now));
    }
}
