use super::{Lag, Positions, lag::End};
use std::{collections::BTreeMap, time::SystemTime};

/// One copy of a model, and how far it got.
pub(super) struct Copy<S> {
    pub(super) model: S,
    pub(super) positions: Positions,
    /// How many messages came since it was written down.
    pub(super) unwritten: u64,
    /// Whether it was built anew, and replaces what was written down before.
    pub(super) is_anew: bool,
    ends: BTreeMap<&'static str, End>,
}

impl<S> Copy<S> {
    pub(super) fn new(model: S, positions: Positions) -> Self {
        Self { model, positions, unwritten: 0, is_anew: false, ends: BTreeMap::new() }
    }

    /// Notes where a stream ends.
    pub(super) fn ends(&mut self, domain: &'static str, last: u64) {
        let end = self.ends.entry(domain).or_default();
        end.last = end.last.max(last);
    }

    /// Notes that what it shows of a stream is the world of this time.
    pub(super) fn shows(&mut self, domain: &'static str, time: SystemTime) {
        self.ends.entry(domain).or_default().behind_since = Some(time);
    }

    /// Notes that a stream cannot be read from this time on.
    pub(super) fn stalls(&mut self, domain: &'static str, now: SystemTime) {
        let end = self.ends.entry(domain).or_default();
        end.behind_since.get_or_insert(now);
    }

    /// Notes that a stream was read; then nothing of it waits, unless its end is
    /// further.
    pub(super) fn came_to(&mut self, domain: &'static str) {
        let position = self.positions.of(domain);
        let end = self.ends.entry(domain).or_default();
        if position >= end.last {
            end.behind_since = None;
        }
    }

    /// Returns how far it is behind one stream.
    pub(super) fn lag_of(&self, domain: &str, now: SystemTime) -> Lag {
        let end = self.ends.get(domain).copied().unwrap_or_default();
        end.lag(self.positions.of(domain), now)
    }

    /// Returns how far it is behind all its streams.
    pub(super) fn lag(&self, now: SystemTime) -> Lag {
        self.ends
            .keys()
            .map(|domain| self.lag_of(domain, now))
            .fold(Lag::default(), Lag::and)
    }
}
