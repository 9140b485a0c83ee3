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
    /// The last message that it took in of each stream: its sequence and its mark.
    places: BTreeMap<String, (u64, u128)>,
    /// Over which connection it was compared with each stream.
    compared: BTreeMap<&'static str, u64>,
}

impl<S> Copy<S> {
    pub(super) fn new(model: S, positions: Positions) -> Self {
        Self {
            model,
            positions,
            unwritten: 0,
            is_anew: false,
            ends: BTreeMap::new(),
            places: BTreeMap::new(),
            compared: BTreeMap::new(),
        }
    }

    /// Takes up the last messages as they were written down.
    pub(super) fn at(mut self, marks: BTreeMap<String, u128>) -> Self {
        for (domain, mark) in marks {
            let position = self.positions.of(&domain);
            self.places.insert(domain, (position, mark));
        }
        self
    }

    /// Notes which message it took in last of a stream; nothing if that is not known.
    pub(super) fn took(&mut self, domain: &str, place: Option<(u64, u128)>) {
        match (self.places.get_mut(domain), place) {
            (Some(known), Some(place)) => *known = place,
            (None, Some(place)) => drop(self.places.insert(domain.to_owned(), place)),
            (_, None) => drop(self.places.remove(domain)),
        }
    }

    /// Returns the mark of the message at its position in a stream, if it is known.
    pub(super) fn mark_of(&self, domain: &str) -> Option<u128> {
        let (sequence, mark) = self.places.get(domain)?;
        (*sequence == self.positions.of(domain)).then_some(*mark)
    }

    /// Returns the marks of the messages at its positions, by domain.
    pub(super) fn marks(&self) -> BTreeMap<String, u128> {
        let places = self.places.keys();
        places
            .filter_map(|domain| Some((domain.clone(), self.mark_of(domain)?)))
            .collect()
    }

    /// Notes that it was compared with a stream; returns whether it had not been
    /// over this connection.
    pub(super) fn compare_over(&mut self, domain: &'static str, connection: u64) -> bool {
        self.compared.insert(domain, connection) != Some(connection)
    }

    /// Notes that it could not be compared with a stream.
    pub(super) fn compare_again(&mut self, domain: &'static str) {
        self.compared.remove(domain);
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
