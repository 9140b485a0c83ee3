use crate::message::{Command, Subject, codec};
use bytes::Bytes;
use std::{
    borrow::Cow,
    collections::HashSet,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};

/// Notes the commands that actors send, for a replay to look at.
#[derive(Clone, Debug, Default)]
pub(crate) struct Record(Arc<Mutex<Noted>>, Arc<Places>);

/// The places at which what writes a journal may die: before and after each write.
#[derive(Debug, Default)]
struct Places {
    passed: AtomicU64,
    /// The place at which it does, from 1; 0 for none.
    crash: AtomicU64,
    /// What left memory and will be tried again.
    retrying: Mutex<HashSet<String>>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Noted {
    /// Commands that were called or told.
    pub(crate) commands: Vec<(Cow<'static, str>, Bytes)>,
    /// Commands that were sent as jobs, and when they are due.
    pub(crate) jobs: Vec<(Subject, Bytes, SystemTime)>,
}

impl Record {
    pub(super) fn note<C: Command>(&self, command: &C) {
        self.add(command, |noted, payload| {
            noted.commands.push((C::SUBJECT.as_str().into(), payload));
        });
    }

    pub(super) fn note_named(&self, subject: &str, payload: &Bytes) {
        let noted = (subject.to_owned().into(), payload.clone());
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.commands.push(noted);
    }

    pub(super) fn note_job<C: Command>(&self, command: &C, due: SystemTime) {
        self.add(command, |noted, payload| {
            noted.jobs.push((C::SUBJECT, payload, due));
        });
    }

    /// Lets what writes a journal die at this place, counted from 1.
    #[cfg(feature = "test-util")]
    pub(crate) fn crash_at(&self, place: u64) {
        self.1.crash.store(place, Ordering::Relaxed);
    }

    /// Returns how many places there were so far.
    #[cfg(feature = "test-util")]
    pub(crate) fn places(&self) -> u64 {
        self.1.passed.load(Ordering::Relaxed)
    }

    /// Notes whether something that left memory will be tried again.
    pub(super) fn note_retrying(&self, is_retrying: bool, what: String) {
        let all = &self.1.retrying;
        let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
        if is_retrying {
            all.insert(what);
        } else {
            all.remove(&what);
        }
    }

    /// Returns what left memory and will be tried again.
    #[cfg(feature = "test-util")]
    pub(crate) fn retrying(&self) -> Vec<String> {
        let all = &self.1.retrying;
        let all = all.lock().unwrap_or_else(PoisonError::into_inner).clone();
        all.into_iter().collect()
    }

    /// Passes a place; returns whether this is the one.
    pub(super) fn crashes_here(&self) -> bool {
        let place = self.1.passed.fetch_add(1, Ordering::Relaxed) + 1;
        self.1.crash.load(Ordering::Relaxed) == place
    }

    fn add<C: Command>(&self, command: &C, add: impl FnOnce(&mut Noted, Bytes)) {
        // What cannot be encoded fails its own way.
        let Ok(payload) = codec::encode(command) else {
            return;
        };
        add(
            &mut self.0.lock().unwrap_or_else(PoisonError::into_inner),
            payload,
        );
    }

    /// Returns all that was noted so far, in order.
    #[cfg(feature = "test-util")]
    pub(crate) fn all(&self) -> Noted {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}
