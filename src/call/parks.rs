use crate::{
    bus::{Append, AppendError, Expect, Message, ReadError, Reader, Stored, Stream},
    message::{Act, Id, Namespace, Origin, Park, ParkError},
};

/// How often a reader tries to sign behind what else is on a subject.
const TRIES: u32 = 5;

/// How many records are read at once.
const BATCH: usize = 1_000;

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

/// Some records of a filter.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) records: Vec<ParkRecord>,
    /// The last place that was looked at; 0 for none.
    pub(crate) through: u64,
    /// Reads on, if there is more.
    pub(crate) more: Option<Reader>,
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
        place: (String, u64),
    ) -> Result<u64, ParkingError> {
        self.append_as(Id::new(), act, park, place).await
    }

    /// Appends a record of a reader behind the one at a place, and behind what
    /// else it wrote there itself without hearing of it, or what is no record.
    ///
    /// Trying again is harmless: the record's id says what it follows.
    ///
    /// # Errors
    ///
    /// Returns [`ParkingError::Conflict`] if somebody else wrote a record.
    pub(crate) async fn sign(
        &self,
        act: Act,
        park: &Park,
        (subject, after): (String, u64),
        me: &str,
    ) -> Result<u64, ParkingError> {
        let mut end = after;
        for _ in 0..TRIES {
            let place = Id::from(format!("{subject}:{end}").as_str());
            let id = place.derived(&format!("{me}/{}", act.kind()), 0);
            let appended = self.append_as(id, act, park, (subject.clone(), end)).await;
            if !matches!(appended, Err(ParkingError::Conflict)) {
                return appended;
            }
            let last = self.last(&subject).await;
            let (last, now) = last.map_err(|error| ParkingError::Unknown(error.to_string()))?;
            if last.is_some_and(|last| last.sequence > after && last.park.by != me) {
                break;
            }
            end = now;
        }
        Err(ParkingError::Conflict)
    }

    async fn append_as(
        &self,
        id: Id,
        act: Act,
        park: &Park,
        (subject, after): (String, u64),
    ) -> Result<u64, ParkingError> {
        let (headers, payload) = park.write(act, self.source.clone(), id)?;
        let message = Message::new(subject, payload).headers(headers);
        match self.stream.append(message, Expect::Last(after)).await? {
            Append::Committed { sequence, .. } => Ok(sequence),
            Append::Conflict => Err(ParkingError::Conflict),
            Append::Unknown { reason } => Err(ParkingError::Unknown(reason)),
        }
    }

    /// Returns the last record of a subject, and the place of what is last
    /// there, which may be no record.
    pub(crate) async fn last(&self, subject: &str) -> Result<(Option<ParkRecord>, u64), ReadError> {
        let Some(last) = self.stream.last(subject).await? else {
            return Ok((None, 0));
        };
        if let Some(record) = self.read(&last) {
            return Ok((Some(record), last.sequence));
        }
        let (mut record, mut place) = (None, last.sequence);
        let mut all = self.since(subject, 1).await?;
        while let Some(stored) = all.next().await? {
            place = place.max(stored.sequence);
            record = self.read(&stored).or(record);
        }
        Ok((record, place))
    }

    /// Reads some of what matches a filter, from where a reader is or from a
    /// place on; returns the records, the last place that was looked at, and
    /// the reader if there is more.
    pub(crate) async fn some(
        &self,
        filter: &str,
        from: u64,
        reader: Option<Reader>,
    ) -> Result<Batch, ReadError> {
        let mut reader = match reader {
            Some(reader) => reader,
            None => self.since(filter, from).await?,
        };
        let (mut records, mut through) = (Vec::new(), 0);
        for _ in 0..BATCH {
            let Some(stored) = reader.next().await? else {
                return Ok(Batch { records, through, more: None });
            };
            through = stored.sequence;
            records.extend(self.read(&stored));
        }
        Ok(Batch { records, through, more: Some(reader) })
    }

    /// Reads some of the last records of all subjects that match a filter, however many
    /// came before them, from where a reader is or from the first on.
    pub(crate) async fn latest(
        &self,
        filter: &str,
        reader: Option<Reader>,
    ) -> Result<Batch, ReadError> {
        let mut reader = match reader {
            Some(reader) => reader,
            None => self.stream.read_last(filter).await?,
        };
        let (mut records, mut through) = (Vec::new(), 0);
        for _ in 0..BATCH {
            let Some(stored) = reader.next().await? else {
                return Ok(Batch { records, through, more: None });
            };
            through = stored.sequence;
            match self.read(&stored) {
                Some(record) => records.push(record),
                // What is no record does not hide the one before it.
                None => records.extend(self.last(&stored.subject).await?.0),
            }
        }
        Ok(Batch { records, through, more: Some(reader) })
    }

    /// Reads all records of one subject.
    pub(crate) async fn history(&self, subject: &str) -> Result<Vec<ParkRecord>, ReadError> {
        let (mut records, mut all) = (Vec::new(), self.since(subject, 1).await?);
        while let Some(stored) = all.next().await? {
            records.extend(self.read(&stored));
        }
        Ok(records)
    }

    /// Reads at least what is last on each subject that matches a filter.
    pub(crate) async fn heads(&self, filter: &str) -> Result<Reader, ReadError> {
        self.stream.read_last(filter).await
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
