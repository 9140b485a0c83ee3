use crate::message::{Command, Subject, codec};
use bytes::Bytes;
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

/// Notes the commands that actors send, for a replay to look at.
#[derive(Clone, Debug, Default)]
pub(crate) struct Record(Arc<Mutex<Noted>>);

#[derive(Clone, Debug, Default)]
pub(crate) struct Noted {
    /// Commands that were called or told.
    pub(crate) commands: Vec<(Subject, Bytes)>,
    /// Commands that were sent as jobs, and when they are due.
    pub(crate) jobs: Vec<(Subject, Bytes, SystemTime)>,
}

impl Record {
    pub(super) fn note<C: Command>(&self, command: &C) {
        self.add(command, |noted, payload| {
            noted.commands.push((C::SUBJECT, payload));
        });
    }

    pub(super) fn note_job<C: Command>(&self, command: &C, due: SystemTime) {
        self.add(command, |noted, payload| {
            noted.jobs.push((C::SUBJECT, payload, due));
        });
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
