use super::{life::Life, shard::Job};
use lru::LruCache;
use std::{
    collections::{HashMap, HashSet, VecDeque},
    num::NonZeroUsize,
};
use tokio::time::Instant;

/// How many ids of commands the entities that rest in one shard remember together.
const REMEMBERED: usize = 500_000;

/// Which keys are worked on, and which rest in memory.
pub(super) struct Table<S> {
    lines: HashMap<String, VecDeque<Job<S>>>,
    resting: LruCache<String, (Life<S>, Instant)>,
    /// How many ids those that rest remember together.
    remembered: usize,
    /// Keys that are worked on, and are to be loaded anew after that.
    outdated: HashSet<String>,
}

impl<S: 'static> Table<S> {
    pub(super) fn new(cached: usize) -> Self {
        let cached = NonZeroUsize::new(cached).unwrap_or(NonZeroUsize::MIN);
        Self {
            lines: HashMap::new(),
            resting: LruCache::new(cached),
            remembered: 0,
            outdated: HashSet::new(),
        }
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
        let (life, _) = self.resting.pop(key)?;
        self.remembered -= life.remembered();
        Some(life)
    }

    /// Takes the next job of a key's line; an empty line is closed.
    pub(super) fn next(&mut self, key: &str) -> Option<Job<S>> {
        let job = self.lines.get_mut(key)?.pop_front();
        if job.is_none() {
            self.lines.remove(key);
        }
        job
    }

    /// Lays an entity to rest; those that rested longest leave memory if there are
    /// too many, or remember too much together.
    pub(super) fn rest(&mut self, key: String, life: Option<Life<S>>, now: Instant) {
        let Some(life) = life else { return };
        self.remembered += life.remembered();
        if let Some((_, (left, _))) = self.resting.push(key, (life, now)) {
            self.remembered -= left.remembered();
        }
        while self.remembered > REMEMBERED && self.resting.len() > 1 {
            self.drop_oldest();
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
            self.drop_oldest();
        }
    }

    /// Has an entity loaded anew when it is asked for next.
    pub(super) fn outdate(&mut self, key: &str) {
        if self.lines.contains_key(key) {
            self.outdated.insert(key.to_owned());
        }
        self.wake(key);
    }

    /// Returns whether an entity that was worked on is to be loaded anew.
    pub(super) fn was_outdated(&mut self, key: &str) -> bool {
        !self.outdated.is_empty() && self.outdated.remove(key)
    }

    fn drop_oldest(&mut self) {
        if let Some((_, (life, _))) = self.resting.pop_lru() {
            self.remembered -= life.remembered();
        }
    }
}
