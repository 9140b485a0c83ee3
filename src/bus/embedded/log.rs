use crate::{
    bus::{Expect, Message, Stored},
    message::{Headers, headers},
};
use bytes::Bytes;
use std::{
    collections::{HashMap, VecDeque},
    iter,
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::time::Instant;

/// The messages of one stream, by sequence, by subject and by id.
///
/// A pure machine: it is told the time.
#[derive(Debug)]
pub(super) struct Log {
    limits: Limits,
    records: Vec<Arc<Record>>,
    heads: HashMap<Arc<str>, u64>,
    ids: HashMap<Box<str>, u64>,
    remembered: VecDeque<(Instant, u64)>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) max_messages: Option<u64>,
    pub(super) duplicate_window: Duration,
}

/// One stored message; its subject is shared with all others on it.
#[derive(Debug)]
pub(super) struct Record {
    subject: Arc<str>,
    headers: Headers,
    payload: Bytes,
    sequence: u64,
    time: SystemTime,
    previous: u64,
}

/// How an append ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Stored { sequence: u64 },
    Duplicate { sequence: u64 },
    Conflict { last: u64 },
    Full { limit: u64 },
}

impl Log {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            records: Vec::new(),
            heads: HashMap::new(),
            ids: HashMap::new(),
            remembered: VecDeque::new(),
        }
    }

    /// Stores a message, unless its id is known, the expectation does not hold
    /// or there is no room; checked in this order.
    pub(super) fn append(
        &mut self,
        message: Message,
        expect: Expect,
        now: Instant,
        time: SystemTime,
    ) -> Outcome {
        self.forget(now);
        let id = message.headers.get(headers::MSG_ID);
        if let Some(&sequence) = id.and_then(|id| self.ids.get(id)) {
            return Outcome::Duplicate { sequence };
        }
        let head = self.heads.get_key_value(message.subject.as_str());
        let previous = head.map_or(0, |(_, last)| *last);
        if matches!(expect, Expect::Last(last) if last != previous) {
            return Outcome::Conflict { last: previous };
        }
        if let Some(limit) = self.limits.max_messages.filter(|max| self.last() >= *max) {
            return Outcome::Full { limit };
        }
        let sequence = self.last() + 1;
        if let Some(id) = id {
            self.ids.insert(id.into(), sequence);
            self.remembered.push_back((now, sequence));
        }
        let subject = head.map_or_else(|| message.subject.into(), |(known, _)| known.clone());
        let Message { headers, payload, .. } = message;
        self.heads.insert(Arc::clone(&subject), sequence);
        let record = Record { subject, headers, payload, sequence, time, previous };
        self.records.push(Arc::new(record));
        Outcome::Stored { sequence }
    }

    /// Returns the last sequence; 0 if there is none.
    pub(super) const fn last(&self) -> u64 {
        self.records.len() as u64
    }

    pub(super) fn get(&self, sequence: u64) -> Option<&Arc<Record>> {
        let index = usize::try_from(sequence.checked_sub(1)?).ok()?;
        self.records.get(index)
    }

    /// Returns the last message on a subject.
    pub(super) fn head(&self, subject: &str) -> Option<&Arc<Record>> {
        self.heads.get(subject).and_then(|last| self.get(*last))
    }

    /// Returns the messages on one subject from a sequence on, last first.
    pub(super) fn back_from_head(
        &self,
        subject: &str,
        from: u64,
    ) -> impl Iterator<Item = &Arc<Record>> {
        iter::successors(self.head(subject), |record| self.get(record.previous))
            .take_while(move |record| record.sequence >= from)
    }

    /// Returns the messages from a sequence on.
    pub(super) fn from(&self, sequence: u64) -> &[Arc<Record>] {
        let skip = usize::try_from(sequence.saturating_sub(1)).unwrap_or(usize::MAX);
        self.records.get(skip..).unwrap_or_default()
    }

    fn forget(&mut self, now: Instant) {
        while let Some(&(stored, sequence)) = self.remembered.front()
            && now.saturating_duration_since(stored) >= self.limits.duplicate_window
        {
            self.remembered.pop_front();
            let Some(record) = self.get(sequence).cloned() else {
                continue;
            };
            if let Some(id) = record.headers.get(headers::MSG_ID) {
                self.ids.remove(id);
            }
        }
    }
}

impl Record {
    pub(super) fn subject(&self) -> &str {
        &self.subject
    }

    pub(super) const fn sequence(&self) -> u64 {
        self.sequence
    }

    pub(super) fn stored(&self) -> Stored {
        Stored {
            subject: self.subject.as_ref().into(),
            headers: self.headers.clone(),
            payload: self.payload.clone(),
            sequence: self.sequence,
            time: self.time,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_mins(1);

    fn log(max_messages: Option<u64>) -> Log {
        Log::new(Limits { max_messages, duplicate_window: WINDOW })
    }

    fn append(log: &mut Log, subject: &str, id: &str, expect: Expect, now: Instant) -> Outcome {
        let mut headers = Headers::new();
        headers.put(headers::MSG_ID, id);
        let message = Message::new(subject, "").headers(headers);
        log.append(message, expect, now, SystemTime::UNIX_EPOCH)
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
            log.back_from_head("a", from)
                .map(|record| record.sequence)
                .collect::<Vec<_>>()
        };
        assert_eq!(walked(0), [5, 3, 1]);
        assert_eq!(walked(2), [5, 3]);
        assert_eq!(walked(6), [0; 0]);
        assert_eq!(log.from(4).len(), 2);
        assert_eq!(log.from(9).len(), 0);
    }
}
