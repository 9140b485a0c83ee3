use std::{cell::RefCell, collections::HashMap};
use tokio::time::Instant;

/// What a reader knows of the messages that it gave back, for when they come to
/// it again.
///
/// A stream counts deliveries: a message that only waited, and went from node to
/// node in a rolling deployment, has many. So attempts are counted where they
/// are made. Another node begins to count anew.
#[derive(Debug, Default)]
pub(super) struct Tried(RefCell<HashMap<u64, Known>>);

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
        self.0.borrow_mut().remove(&sequence).unwrap_or_default()
    }

    /// Notes what is given back, in the place of what was before: it is as much
    /// as is held at once.
    pub(super) fn replace(&self, given_back: impl IntoIterator<Item = (u64, Known)>) {
        let known = given_back.into_iter();
        *self.0.borrow_mut() = known
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
