use crate::{
    bus::{Expect, Message, StreamConfig},
    message::{Headers, headers},
};
use std::{
    collections::{HashMap, HashSet, VecDeque},
    iter,
    sync::Arc,
    time::Duration,
};
use tokio::time::Instant;

/// What one stream knows of its messages: their subjects, ids and order.
///
/// A pure machine: it is told the time, and the messages are kept elsewhere.
#[derive(Debug)]
pub(super) struct Log {
    limits: Limits,
    /// Each subject by its number, with its last sequence.
    heads: Vec<(Arc<str>, u64)>,
    numbers: HashMap<Arc<str>, u32>,
    filed: Vec<Filed>,
    ids: HashMap<Arc<str>, u64>,
    remembered: VecDeque<(Instant, Arc<str>)>,
    /// The messages that were deleted one by one.
    deleted: HashSet<u64>,
}

/// Where one message belongs.
#[derive(Clone, Copy, Debug)]
struct Filed {
    subject: u32,
    previous: u64,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) last_per_subject: bool,
    pub(super) max_messages: Option<u64>,
    pub(super) duplicate_window: Duration,
}

impl From<&StreamConfig> for Limits {
    fn from(config: &StreamConfig) -> Self {
        Self {
            last_per_subject: config.last_per_subject,
            max_messages: config.max_messages,
            duplicate_window: config.duplicate_window,
        }
    }
}

/// Returns a message's id; an empty one is none.
pub(super) fn id_of(headers: &Headers) -> Option<&str> {
    headers.get(headers::MSG_ID).filter(|id| !id.is_empty())
}

/// How an append ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Stored {
        sequence: u64,
    },
    Duplicate {
        sequence: u64,
    },
    Conflict {
        last: u64,
    },
    Full {
        limit: u64,
    },
    /// The disk is full; nothing was stored.
    NoRoom,
}

impl Log {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            heads: Vec::new(),
            numbers: HashMap::new(),
            filed: Vec::new(),
            ids: HashMap::new(),
            remembered: VecDeque::new(),
            deleted: HashSet::new(),
        }
    }

    /// Files a message, unless its id is known, the expectation does not hold
    /// or there is no room; checked in this order.
    pub(super) fn append(&mut self, message: &Message, expect: Expect, now: Instant) -> Outcome {
        self.forget(now);
        let id = id_of(&message.headers);
        if let Some(&sequence) = id.and_then(|id| self.ids.get(id)) {
            return Outcome::Duplicate { sequence };
        }
        let number = self.numbers.get(message.subject.as_str()).copied();
        let previous = number.map_or(0, |number| self.heads[number as usize].1);
        let standing = match number {
            Some(number) if self.deleted.contains(&previous) => {
                self.back_of(number, u64::MAX).next().unwrap_or(0)
            }
            _ => previous,
        };
        if matches!(expect, Expect::Last(last) if last != standing) {
            return Outcome::Conflict { last: standing };
        }
        if let Some(limit) = self
            .limits
            .max_messages
            .filter(|max| self.held(self.last()) >= *max)
        {
            return Outcome::Full { limit };
        }
        let number = number.unwrap_or_else(|| self.number(&message.subject));
        let sequence = self.file(number, previous);
        if let Some(id) = id {
            self.remember(id, sequence, now);
        }
        Outcome::Stored { sequence }
    }

    /// Returns the last sequence; 0 if there is none.
    pub(super) const fn last(&self) -> u64 {
        self.filed.len() as u64
    }

    /// Returns the subject of a message.
    pub(super) fn subject(&self, sequence: u64) -> Option<&Arc<str>> {
        let filed = self.filed(sequence)?;
        self.heads.get(filed.subject as usize).map(|(name, _)| name)
    }

    /// Returns the sequence of the message before one on its subject; 0 for none.
    pub(super) fn previous(&self, sequence: u64) -> u64 {
        self.filed(sequence).map_or(0, |filed| filed.previous)
    }

    /// Returns how many messages are kept of those up to a sequence.
    pub(super) fn held(&self, last: u64) -> u64 {
        if !self.limits.last_per_subject {
            let deleted = self.deleted.iter().filter(|at| **at <= last).count();
            return last.saturating_sub(deleted as u64);
        }
        let heads = (0..).take(self.heads.len());
        heads
            .filter(|number| self.back_of(*number, last).next().is_some())
            .count() as u64
    }

    /// Returns the messages on one subject up to a sequence, last first.
    pub(super) fn back(&self, subject: &str, last: u64) -> impl Iterator<Item = u64> {
        let number = self.numbers.get(subject).copied();
        number
            .into_iter()
            .flat_map(move |number| self.back_of(number, last))
    }

    fn back_of(&self, number: u32, last: u64) -> impl Iterator<Item = u64> {
        let depth = if self.limits.last_per_subject {
            1
        } else {
            usize::MAX
        };
        let head = Some(self.heads[number as usize].1);
        iter::successors(head, |sequence| Some(self.previous(*sequence)))
            .take_while(|sequence| *sequence > 0)
            .skip_while(move |sequence| *sequence > last)
            .take(depth)
            .filter(|sequence| !self.deleted.contains(sequence))
    }

    /// Returns the last message up to a sequence of each subject that is wanted.
    pub(super) fn heads(&self, last: u64, wanted: impl Fn(&str) -> bool) -> Vec<u64> {
        let all = (0..).zip(&self.heads);
        all.filter(|(_, (subject, _))| wanted(subject))
            .filter_map(|(number, _)| self.back_of(number, last).next())
            .collect()
    }

    /// Whether a message was replaced by one of those up to a sequence.
    pub(super) fn is_replaced(&self, sequence: u64, last: u64) -> bool {
        let number = self
            .filed(sequence)
            .filter(|_| self.limits.last_per_subject);
        number.is_some_and(|filed| {
            self.back_of(filed.subject, last)
                .next()
                .is_some_and(|newest| newest > sequence)
        })
    }

    /// Returns the sequences between two, both included, whose subject is wanted.
    pub(super) fn matching<'a>(
        &'a self,
        first: u64,
        last: u64,
        wanted: impl Fn(&str) -> bool + 'a,
    ) -> impl Iterator<Item = u64> + 'a {
        let range = first.max(1)..=last.min(self.last());
        range.filter(move |sequence| {
            let subject = self.subject(*sequence);
            subject.is_some_and(|subject| wanted(subject)) && !self.deleted.contains(sequence)
        })
    }

    /// Deletes a message: it counts and stands no more, and its id stays known for its window.
    pub(super) fn delete(&mut self, sequence: u64) {
        self.deleted.insert(sequence);
    }

    fn filed(&self, sequence: u64) -> Option<&Filed> {
        self.filed
            .get(usize::try_from(sequence.checked_sub(1)?).ok()?)
    }

    fn file(&mut self, number: u32, previous: u64) -> u64 {
        self.filed.push(Filed { subject: number, previous });
        let sequence = self.last();
        self.heads[number as usize].1 = sequence;
        sequence
    }

    fn number(&mut self, subject: &str) -> u32 {
        let number = u32::try_from(self.heads.len()).expect("subjects fit into memory");
        let name: Arc<str> = subject.into();
        self.numbers.insert(Arc::clone(&name), number);
        self.heads.push((name, 0));
        number
    }

    fn remember(&mut self, id: &str, sequence: u64, now: Instant) {
        let id: Arc<str> = id.into();
        self.ids.insert(Arc::clone(&id), sequence);
        self.remembered.push_back((now, id));
    }

    fn forget(&mut self, now: Instant) {
        while let Some((stored, id)) = self.remembered.front()
            && now.saturating_duration_since(*stored) >= self.limits.duplicate_window
        {
            self.ids.remove(id);
            self.remembered.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_mins(1);

    fn log(max_messages: Option<u64>) -> Log {
        Log::new(Limits { last_per_subject: false, max_messages, duplicate_window: WINDOW })
    }

    fn append(log: &mut Log, subject: &str, id: &str, expect: Expect, now: Instant) -> Outcome {
        let mut headers = Headers::new();
        headers.put(headers::MSG_ID, id);
        let message = Message::new(subject, "").headers(headers);
        log.append(&message, expect, now)
    }

    #[test]
    fn an_id_is_known_within_the_window_whatever_is_expected() {
        let (mut log, now) = (log(None), Instant::now());
        let stored = |sequence| Outcome::Stored { sequence };
        assert_eq!(append(&mut log, "a", "1", Expect::Last(0), now), stored(1));
        assert_eq!(append(&mut log, "a", "2", Expect::Last(1), now), stored(2));
        let again = append(&mut log, "a", "1", Expect::Last(0), now + WINDOW / 2);
        assert_eq!(again, Outcome::Duplicate { sequence: 1 });
        let other = append(&mut log, "b", "1", Expect::Last(0), now + WINDOW / 2);
        assert_eq!(other, Outcome::Duplicate { sequence: 1 });
        let late = append(&mut log, "a", "1", Expect::Any, now + WINDOW);
        assert_eq!(late, stored(3));
        let twice = append(&mut log, "a", "1", Expect::Any, now + WINDOW);
        assert_eq!(twice, Outcome::Duplicate { sequence: 3 });
    }

    #[test]
    fn a_conflict_does_not_use_up_its_id() {
        let (mut log, now) = (log(None), Instant::now());
        append(&mut log, "a", "1", Expect::Any, now);
        let conflict = append(&mut log, "a", "2", Expect::Last(0), now);
        assert_eq!(conflict, Outcome::Conflict { last: 1 });
        let again = append(&mut log, "a", "2", Expect::Last(1), now);
        assert_eq!(again, Outcome::Stored { sequence: 2 });
    }

    #[test]
    fn a_full_log_knows_duplicates_and_keeps_the_rest_out() {
        let (mut log, now) = (log(Some(1)), Instant::now());
        append(&mut log, "a", "1", Expect::Any, now);
        let full = append(&mut log, "a", "2", Expect::Any, now);
        assert_eq!(full, Outcome::Full { limit: 1 });
        let known = append(&mut log, "a", "1", Expect::Any, now);
        assert_eq!(known, Outcome::Duplicate { sequence: 1 });
    }

    #[test]
    fn a_subject_is_walked_back_without_the_others() {
        let (mut log, now) = (log(None), Instant::now());
        for (at, subject) in ["a", "b", "a", "b", "a"].into_iter().enumerate() {
            append(&mut log, subject, &at.to_string(), Expect::Any, now);
        }
        let walked = |from| {
            log.back("a", u64::MAX)
                .take_while(|sequence| *sequence >= from)
                .collect::<Vec<_>>()
        };
        assert_eq!(walked(0), [5, 3, 1]);
        assert_eq!(walked(2), [5, 3]);
        assert_eq!(walked(6), [0; 0]);
        let matching = |first| {
            log.matching(first, 9, |subject| subject == "a")
                .collect::<Vec<_>>()
        };
        assert_eq!((matching(0), matching(4)), (vec![1, 3, 5], vec![5]));
    }
}
