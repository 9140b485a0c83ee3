use crate::message::{Command, Subject, codec};
use bytes::Bytes;
use std::sync::{Arc, Mutex, PoisonError};

/// Notes the commands that actors send, for a replay to look at.
#[derive(Clone, Debug, Default)]
pub(crate) struct Record(Arc<Mutex<Vec<(Subject, Bytes)>>>);

impl Record {
    pub(super) fn note<C: Command>(&self, command: &C) {
        // What cannot be encoded fails its own way.
        let Ok(payload) = codec::encode(command) else {
            return;
        };
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push((C::SUBJECT, payload));
    }

    /// Returns all that was noted so far, in order.
    #[cfg(feature = "test-util")]
    pub(crate) fn all(&self) -> Vec<(Subject, Bytes)> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}
