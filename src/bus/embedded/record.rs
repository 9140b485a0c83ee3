use crate::{bus::Stored, message::Headers};
use bytes::Bytes;
use std::{sync::Arc, time::SystemTime};

/// One stored message; its subject is shared with all others on it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) subject: Arc<str>,
    pub(super) headers: Headers,
    pub(super) payload: Bytes,
    pub(super) sequence: u64,
    pub(super) time: SystemTime,
}

impl Record {
    /// Returns the message to give out, without a copy if nobody else holds it.
    pub(super) fn give(record: Arc<Self>) -> Stored {
        Arc::try_unwrap(record).map_or_else(|shared| shared.stored(), Self::into_stored)
    }

    /// Returns about how much memory it takes.
    pub(super) fn weight(&self) -> usize {
        let headers = self.headers.iter();
        let headers: usize = headers
            .map(|(name, value)| name.len() + value.len() + 48)
            .sum();
        size_of::<Self>() + headers + self.payload.len()
    }

    fn stored(&self) -> Stored {
        Stored {
            subject: self.subject.as_ref().into(),
            headers: self.headers.clone(),
            payload: self.payload.clone(),
            sequence: self.sequence,
            time: self.time,
        }
    }

    fn into_stored(self) -> Stored {
        let Self { subject, headers, payload, sequence, time, .. } = self;
        Stored { subject: subject.as_ref().into(), headers, payload, sequence, time }
    }
}
