use super::{life::Life, shard::Job};
use lru::LruCache;
use std::{
    collections::{HashMap, VecDeque},
    num::NonZeroUsize,
};
use tokio::time::Instant;

/// Which keys are worked on, and which rest in memory.
pub(super) struct Table<S> {
    lines: HashMap<String, VecDeque<Job<S>>>,
    resting: LruCache<String, (Life<S>, Instant)>,
}

impl<S> Table<S> {
    pub(super) fn new(cached: usize) -> Self {
        let cached = NonZeroUsize::new(cached).unwrap_or(NonZeroUsize::MIN);
        Self { lines: HashMap::new(), resting: LruCache::new(cached) }
    }

    /// Adds a job to its key's line; returns whether somebody must start on it.
    pub(super) fn line_up(&mut self, key: &str, job: Job<S>) -> bool {
        if let Some(line) = self.lines.get_mut(key) {
            line.push_back(job);
            return false;
        }
        self.lines.insert(key.to_owned(), VecDeque::from([job]));
        true
    }

    /// Takes an entity out of its rest, if it is in memory.
    pub(super) fn wake(&mut self, key: &str) -> Option<Life<S>> {
        self.resting.pop(key).map(|(life, _)| life)
    }

    /// Takes the next job of a key's line; an empty line is closed.
    pub(super) fn next(&mut self, key: &str) -> Option<Job<S>> {
        let job = self.lines.get_mut(key)?.pop_front();
        if job.is_none() {
            self.lines.remove(key);
        }
        job
    }

    /// Lays an entity to rest; the one that rested longest leaves memory.
    pub(super) fn rest(&mut self, key: String, life: Option<Life<S>>, now: Instant) {
        if let Some(life) = life {
            self.resting.put(key, (life, now));
        }
    }

    /// Lets those leave memory that have rested since a time or longer.
    pub(super) fn leave_until(&mut self, since: Option<Instant>) {
        let Some(since) = since else { return };
        while self
            .resting
            .peek_lru()
            .is_some_and(|(_, (_, rested))| *rested <= since)
        {
            self.resting.pop_lru();
        }
    }
}
