use crate::{
    bus::{Message, schedule::Schedule},
    message::{
        Headers,
        headers::{MSG_ID, SCHEDULE, SCHEDULE_NEXT, SCHEDULE_TARGET, SCHEDULER},
    },
};
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
    time::SystemTime,
};

/// What [`SCHEDULE_NEXT`] says of a schedule that is gone.
const PURGE: &str = "purge";

/// What a stream is to pass on, and when.
///
/// A pure machine: it is told each message that is filed, in order, also again
/// when the log is read back, and that is all it knows. What was passed on or
/// taken back stays in the log, and nobody sees it any more.
#[derive(Debug, Default)]
pub(super) struct Timers {
    armed: HashMap<Arc<str>, (SystemTime, u64)>,
    line: BTreeMap<(SystemTime, u64), Arc<str>>,
    spent: HashSet<u64>,
}

/// What a message means for the timers of its stream.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Mark<'a> {
    /// It is to be passed on at a time.
    Armed(SystemTime),
    /// It took the place of what was scheduled on this subject.
    Fired(&'a str),
}

impl<'a> Mark<'a> {
    /// Reads what a message means, by its headers.
    pub(super) fn of(header: impl Fn(&str) -> Option<&'a str>) -> Option<Self> {
        if let Some(due) = header(SCHEDULE).and_then(Schedule::due) {
            return Some(Self::Armed(due));
        }
        let scheduler = header(SCHEDULER)?;
        (header(SCHEDULE_NEXT) == Some(PURGE)).then_some(Self::Fired(scheduler))
    }
}

impl Timers {
    /// Notes a message; says whether the next time to look came nearer.
    pub(super) fn note(&mut self, subject: &Arc<str>, sequence: u64, mark: &Mark<'_>) -> bool {
        match mark {
            Mark::Armed(due) => {
                self.spend(subject);
                let next = self.next();
                self.armed.insert(Arc::clone(subject), (*due, sequence));
                self.line.insert((*due, sequence), Arc::clone(subject));
                next.is_none_or(|next| *due < next)
            }
            Mark::Fired(scheduler) => {
                self.spend(scheduler);
                if **scheduler == **subject {
                    self.spent.insert(sequence);
                }
                false
            }
        }
    }

    /// Returns when the next one is due.
    pub(super) fn next(&self) -> Option<SystemTime> {
        self.line.keys().next().map(|(due, _)| *due)
    }

    /// Returns the sequence of one that is due.
    pub(super) fn due(&self, now: SystemTime) -> Option<u64> {
        let (due, sequence) = self.line.keys().next()?;
        (*due <= now).then_some(*sequence)
    }

    /// Lets the one that is due next wait until a time.
    pub(super) fn put_off(&mut self, until: SystemTime) {
        let Some(((_, sequence), subject)) = self.line.pop_first() else {
            return;
        };
        let due = until;
        self.armed.insert(Arc::clone(&subject), (due, sequence));
        self.line.insert((due, sequence), subject);
    }

    /// Whether something is scheduled on a subject.
    pub(super) fn has(&self, subject: &str) -> bool {
        self.armed.contains_key(subject)
    }

    /// Whether nobody sees a message any more.
    pub(super) fn hides(&self, sequence: u64) -> bool {
        !self.spent.is_empty() && self.spent.contains(&sequence)
    }

    /// Returns how many messages nobody sees any more.
    pub(super) fn hidden(&self) -> u64 {
        self.spent.len() as u64
    }

    /// Forgets what is scheduled on a subject, if it is this message.
    pub(super) fn disarm(&mut self, subject: &str, sequence: u64) {
        if let Some((due, _)) = self
            .armed
            .get(subject)
            .copied()
            .filter(|(_, at)| *at == sequence)
        {
            self.armed.remove(subject);
            self.line.remove(&(due, sequence));
        }
    }

    fn spend(&mut self, subject: &str) {
        if let Some((due, sequence)) = self.armed.remove(subject) {
            self.line.remove(&(due, sequence));
            self.spent.insert(sequence);
        }
    }
}

/// Builds what is passed on of a scheduled message.
pub(super) fn fired(subject: &str, headers: &Headers, payload: bytes::Bytes) -> Message {
    let target = headers.get(SCHEDULE_TARGET).unwrap_or_default();
    let mut own = Headers::with_capacity(headers.len());
    for (name, value) in headers.iter() {
        if !matches!(name, MSG_ID | SCHEDULE | SCHEDULE_TARGET) {
            own.put(name.to_owned(), value);
        }
    }
    own.put(SCHEDULER, subject);
    own.put(SCHEDULE_NEXT, PURGE);
    Message::new(target, payload).headers(own)
}

/// Builds what takes a scheduled message back.
pub(super) fn cancelled(subject: &str) -> Message {
    let mut headers = Headers::with_capacity(2);
    headers.put(SCHEDULER, subject);
    headers.put(SCHEDULE_NEXT, PURGE);
    Message::new(subject, "").headers(headers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn at(second: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(second)
    }

    #[test]
    fn the_next_is_the_earliest_that_still_stands() {
        let mut timers = Timers::default();
        let (a, b): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
        assert!(timers.note(&a, 1, &Mark::Armed(at(5))));
        assert!(!timers.note(&b, 2, &Mark::Armed(at(7))));
        assert_eq!((timers.due(at(4)), timers.due(at(5))), (None, Some(1)));
        assert!(timers.note(&a, 3, &Mark::Armed(at(6))), "b was next");
        assert_eq!(timers.due(at(9)), Some(3), "the first was replaced");
        timers.note(&"t".into(), 4, &Mark::Fired("a"));
        assert_eq!(timers.due(at(9)), Some(2));
        timers.note(&b, 5, &Mark::Fired("b"));
        assert_eq!((timers.next(), timers.has("b")), (None, false));
        let hidden: Vec<_> = (1..=5).filter(|at| timers.hides(*at)).collect();
        assert_eq!(hidden, [1, 2, 3, 5], "what was passed on is seen");
    }

    #[test]
    fn what_cannot_be_passed_on_is_tried_again_once_its_wait_is_over() {
        let mut timers = Timers::default();
        timers.note(&"a".into(), 1, &Mark::Armed(at(5)));
        timers.put_off(at(1_001));
        assert_eq!(timers.due(at(1_000)), None, "it was due long ago");
        assert_eq!(timers.due(at(1_001)), Some(1));
    }

    #[test]
    fn what_is_passed_on_keeps_its_own_headers_and_loses_its_id() {
        let mut headers = Headers::new();
        headers.put(MSG_ID, "1");
        headers.put("cb-id", "1");
        let message = Message::new("a.t", "x").headers(headers);
        let message = message.scheduled(at(5), "a.b");
        let mark = Mark::of(|name| message.headers.get(name));
        assert_eq!(mark, Some(Mark::Armed(at(5))));
        let fired = fired("a.t", &message.headers, message.payload.clone());
        assert_eq!(fired.subject, "a.b");
        let of = &fired.headers;
        assert_eq!(
            (of.get("cb-id"), of.get(MSG_ID), of.get(SCHEDULE)),
            (Some("1"), None, None)
        );
        assert_eq!(Mark::of(|name| of.get(name)), Some(Mark::Fired("a.t")));
    }
}
