use crate::{
    bus::Stored,
    message::{Envelope, EnvelopeError, Id, Origin, batch},
};
use std::time::SystemTime;

/// What is known of an event beside its payload, as a projection folds it.
///
/// A fold takes its time from here and nowhere else, so that a model that is
/// built again comes out the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    envelope: Envelope,
    sequence: u64,
    stored: SystemTime,
}

impl Seen {
    /// Reads the events of one stored message, be they one or several.
    pub(super) fn all(stored: Stored, stream: &str) -> Result<Vec<Self>, EnvelopeError> {
        let Stored { subject, headers, payload, sequence, time } = stored;
        let origin = Origin { stream, sequence, subject: &subject, time };
        let events = batch::read(&headers, origin, payload)?;
        let seen = events
            .into_iter()
            .map(|envelope| Self { envelope, sequence, stored: time });
        Ok(seen.collect())
    }

    /// Returns the event's id.
    pub const fn id(&self) -> &Id {
        &self.envelope.id
    }

    /// Returns the key of the entity that it happened to.
    pub fn key(&self) -> String {
        self.envelope.key.decode()
    }

    /// Returns when it happened.
    pub fn time(&self) -> SystemTime {
        self.envelope.time.unwrap_or(self.stored)
    }

    /// Returns its place in the stream of its domain; events of one decision share it.
    pub const fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Returns the event with all its metadata.
    pub const fn envelope(&self) -> &Envelope {
        &self.envelope
    }
}
