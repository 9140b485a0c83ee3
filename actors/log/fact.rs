use callboard::{
    Event,
    bus::Stored,
    message::{Envelope, Id, Origin, codec},
};

/// An event of the past.
#[derive(Debug)]
pub(crate) struct Fact {
    envelope: Envelope,
}

impl Fact {
    /// Reads what a stream keeps; nothing if that is no event.
    pub(crate) fn of(stored: Stored, stream: &str) -> Option<Self> {
        let origin = Origin {
            stream,
            sequence: stored.sequence,
            subject: &stored.subject,
            time: stored.time,
        };
        match Envelope::read(&stored.headers, origin, stored.payload) {
            Ok(envelope) => Some(Self { envelope }),
            Err(reason) => {
                tracing::warn!(stream, stored.sequence, %reason, "a message that is no event is left out");
                None
            }
        }
    }

    /// Returns the event if it is of this type.
    pub(crate) fn read<E: Event>(&self) -> Option<E> {
        if self.envelope.kind != E::SUBJECT.as_str() {
            return None;
        }
        codec::decode(&self.envelope.payload)
            .inspect_err(|reason| {
                tracing::warn!(id = %self.id(), %reason, "an event that does not decode is left out");
            })
            .ok()
    }

    fn id(&self) -> &Id {
        &self.envelope.id
    }
}
