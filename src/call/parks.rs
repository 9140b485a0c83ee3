use crate::{
    bus::{Append, AppendError, Expect, Message, ReadError, Reader, Stored, Stream},
    message::{Act, Namespace, Origin, Park, ParkError},
};

/// The records of parked keys: what readers and the operator did.
#[derive(Clone, Debug)]
pub(crate) struct Parks {
    stream: Stream,
    namespace: Namespace,
    source: String,
}

/// One record as it is stored.
#[derive(Clone, Debug)]
pub(crate) struct ParkRecord {
    pub(crate) act: Act,
    pub(crate) park: Park,
    /// Its place among the records.
    pub(crate) sequence: u64,
    pub(crate) subject: String,
}

/// Why a record was not appended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ParkingError {
    #[error("somebody else was faster")]
    Conflict,
    #[error("whether it is stored is not known: {0}")]
    Unknown(String),
    #[error(transparent)]
    Append(#[from] AppendError),
    #[error(transparent)]
    Park(#[from] ParkError),
}

impl Parks {
    pub(crate) const fn new(stream: Stream, namespace: Namespace, source: String) -> Self {
        Self { stream, namespace, source }
    }

    /// Appends a record if the one before it is the last of its subject;
    /// returns its place.
    pub(crate) async fn append(
        &self,
        act: Act,
        park: &Park,
        (subject, after): (String, u64),
    ) -> Result<u64, ParkingError> {
        let (headers, payload) = park.write(act, self.source.clone())?;
        let message = Message::new(subject, payload).headers(headers);
        match self.stream.append(message, Expect::Last(after)).await? {
            Append::Committed { sequence, .. } => Ok(sequence),
            Append::Conflict => Err(ParkingError::Conflict),
            Append::Unknown { reason } => Err(ParkingError::Unknown(reason)),
        }
    }

    /// Returns the last record of a subject, and the place of what is last there.
    pub(crate) async fn last(&self, subject: &str) -> Result<(Option<ParkRecord>, u64), ReadError> {
        let last = self.stream.last(subject).await?;
        let place = last.as_ref().map_or(0, |stored| stored.sequence);
        Ok((last.as_ref().and_then(|stored| self.read(stored)), place))
    }

    /// Reads all that matches a filter, from a place on.
    pub(crate) async fn since(&self, filter: &str, from: u64) -> Result<Reader, ReadError> {
        self.stream.read(filter, from).await
    }

    /// Reads a record; nothing if it is none.
    pub(crate) fn read(&self, stored: &Stored) -> Option<ParkRecord> {
        let origin = Origin {
            stream: &self.namespace.park_stream(),
            sequence: stored.sequence,
            subject: &stored.subject,
            time: stored.time,
        };
        match Park::read(&stored.headers, origin, stored.payload.clone()) {
            Ok((act, park)) => Some(ParkRecord {
                act,
                park,
                sequence: stored.sequence,
                subject: stored.subject.clone(),
            }),
            Err(error) => {
                tracing::warn!(subject = stored.subject, sequence = stored.sequence, %error, "passed over");
                None
            }
        }
    }
}
