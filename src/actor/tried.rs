use std::{
    cell::RefCell,
    collections::{BTreeMap, HashMap},
};
use tokio::time::Instant;

/// How many commands that nobody knows are told from each other.
const UNKNOWN: usize = 256;

/// What a reader knows of the messages that it gave back, for when they come to
/// it again.
///
/// A stream counts deliveries: a message that only waited, and went from node to
/// node in a rolling deployment, has many. So attempts are counted where they
/// are made. Another node begins to count anew.
#[derive(Debug, Default)]
pub(super) struct Tried {
    given_back: RefCell<HashMap<u64, Known>>,
    /// Since when nobody who is there knows what is wanted, by its name.
    unknown: RefCell<BTreeMap<String, Instant>>,
}

/// What is known of one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Known {
    /// Which attempt comes next, from 1.
    pub(super) attempt: u32,
    /// Since when nobody who is there could handle it.
    pub(super) unknown: Option<Instant>,
}

impl Default for Known {
    fn default() -> Self {
        Self { attempt: 1, unknown: None }
    }
}

impl Tried {
    /// Returns what is known of a message that comes, and forgets it.
    pub(super) fn take(&self, sequence: u64) -> Known {
        let mut given_back = self.given_back.borrow_mut();
        given_back.remove(&sequence).unwrap_or_default()
    }

    /// Returns since when nobody who is there knows what is wanted: from now on if that
    /// is news, or there is too much of it to be told apart.
    pub(super) fn unknown_since(&self, wanted: &str, now: Instant) -> Instant {
        let mut unknown = self.unknown.borrow_mut();
        if let Some(since) = unknown.get(wanted) {
            return *since;
        }
        if unknown.len() < UNKNOWN {
            unknown.insert(wanted.to_owned(), now);
        }
        now
    }

    /// Notes that somebody is there who knows it.
    pub(super) fn is_known(&self, wanted: &str) {
        self.unknown.borrow_mut().remove(wanted);
    }

    /// Notes what is given back, in the place of what was before: it is as much
    /// as is held at once. Who comes to know what was wanted is not seen from now on.
    pub(super) fn replace(&self, given_back: impl IntoIterator<Item = (u64, Known)>) {
        self.unknown.borrow_mut().clear();
        let known = given_back.into_iter();
        *self.given_back.borrow_mut() = known
            .filter(|(_, known)| *known != Known::default())
            .collect();
    }
}

#[cfg(test)]
mod tests {
    use super::{Known, Tried};

    #[test]
    fn attempts_are_remembered_until_the_message_comes_again() {
        let tried = Tried::default();
        let third = Known { attempt: 3, unknown: None };
        tried.replace([(7, third), (8, Known::default())]);
        assert_eq!(tried.take(8).attempt, 1);
        assert_eq!((tried.take(7), tried.take(7).attempt), (third, 1));
    }
}
