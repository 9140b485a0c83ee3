//! What an operator can do about events that could not be handled, and about jobs.

mod dead;
mod jobs;
mod parked;
mod skips;
mod streams;

pub use dead::{Letter, LetterState};
pub use jobs::{JobState, NewJob, WaitingJob, WaitingJobs};
pub use parked::{Parked, ParkedState};
pub use skips::SkippedMessage;

use super::{ParkRecord, Parks, client::open_as_declared};
use crate::{
    bus::{
        AppendError, Bus, CancelError, ConsumerError, Message, ReadError, Reader, SendError,
        Stored, Stream, StreamConfig, StreamError,
    },
    message::{Namespace, ParkError},
};
use bytes::Bytes;
use std::{
    collections::BTreeMap,
    fmt,
    time::{Duration, SystemTime},
};

/// How long a reader may say nothing of a key that it lets go on; after that
/// the operator may act.
const LEASE: Duration = Duration::from_mins(1);

/// Looks at parked keys, dead letters and jobs, and says how to go on with them.
///
/// What is said is a record in the stream of parked keys: it works also while
/// the actor's node is down, and only once. The command `callboard` does the
/// same from a shell, where the bus is a NATS server.
///
/// # Examples
///
/// ```
/// use callboard::{Bus, call::Operator};
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// let operator = Operator::new(Bus::embedded(), "shop".parse()?);
/// for parked in operator.parked().await? {
///     operator.retry(&parked).await?;
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Operator {
    bus: Bus,
    namespace: Namespace,
    source: String,
}

impl Operator {
    /// Builds an operator of a namespace.
    pub fn new(bus: Bus, namespace: Namespace) -> Self {
        let source = format!("/{namespace}/operator");
        Self { bus, namespace, source }
    }

    /// Sets who it is, as a CloudEvents source such as `/shop/cli/ada`.
    #[must_use]
    pub fn source(mut self, source: impl Into<String>) -> Self {
        self.source = source.into();
        self
    }

    /// Opens a stream if it is there: an operator makes none.
    async fn stream(&self, config: StreamConfig) -> Result<Option<Stream>, OperatorError> {
        let streams = self.bus.streams().await?;
        if !streams.iter().any(|info| info.name == config.name) {
            return Ok(None);
        }
        Ok(Some(open_as_declared(&self.bus, config).await?))
    }

    async fn parks(&self) -> Result<Option<Parks>, OperatorError> {
        let stream = self.stream(StreamConfig::parked(&self.namespace)).await?;
        let parks = |stream| Parks::new(stream, self.namespace.clone(), self.source.clone());
        Ok(stream.map(parks))
    }

    /// Returns the last record of each subject that matches and is not over, and
    /// the place of what is last there, which may be no record.
    async fn records(
        &self,
        filter: &str,
        is_over: impl Fn(&ParkRecord) -> bool,
    ) -> Result<BTreeMap<String, LastRecord>, OperatorError> {
        let mut last: BTreeMap<String, LastRecord> = BTreeMap::new();
        let Some(parks) = self.parks().await? else {
            return Ok(last);
        };
        let mut heads = parks.heads(filter).await?;
        while let Some(stored) = heads.next().await? {
            let end = stored.sequence;
            let (record, time) = match parks.read(&stored) {
                Some(record) => (Some(record), stored.time),
                None => before(&parks, &stored).await?,
            };
            last.remove(&stored.subject);
            if let Some(record) = record.filter(|record| !is_over(record)) {
                last.insert(stored.subject, LastRecord { record, time, end });
            }
        }
        Ok(last)
    }

    /// Reads the events of a key, from a sequence on.
    async fn events(
        &self,
        domain: &str,
        key: &str,
        from: u64,
    ) -> Result<Option<Reader>, OperatorError> {
        let config = StreamConfig::events(&self.namespace, domain);
        let Some(stream) = self.stream(config).await? else {
            return Ok(None);
        };
        let subject = format!("{}.evt.{domain}.{key}", self.namespace);
        Ok(Some(stream.read(&subject, from).await?))
    }

    /// Tells an actor's readers that there is something new for them; should
    /// this get lost, they look by themselves.
    async fn poke(&self, child: &str) -> Result<(), OperatorError> {
        let poke = Message::new(self.namespace.park_poke(child), Bytes::new());
        Ok(self.bus.send(poke).await?)
    }
}

/// Returns the last record before what is none, and when it was stored.
async fn before(
    parks: &Parks,
    last: &Stored,
) -> Result<(Option<ParkRecord>, SystemTime), OperatorError> {
    let (mut found, mut time) = (None, last.time);
    let mut all = parks.since(&last.subject, 1).await?;
    while let Some(stored) = all.next().await? {
        if let Some(record) = parks.read(&stored) {
            (found, time) = (Some(record), stored.time);
        }
    }
    Ok((found, time))
}

/// The last record of a subject.
#[derive(Clone, Debug)]
struct LastRecord {
    record: ParkRecord,
    /// When it was stored.
    time: SystemTime,
    /// The place of what is last on its subject.
    end: u64,
}

impl fmt::Debug for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Operator({} on {})", self.source, self.bus)
    }
}

/// Why what the operator asked for was not done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OperatorError {
    /// Somebody did something about it since it was looked at.
    #[error("somebody was faster; look at it again")]
    Changed,
    /// A reader is at work on it.
    #[error(
        "`{child}` is handling what waits of key `{key}` now, and said so {} ago; wait until it is \
         done or parked again, or says nothing for {}",
        humantime::format_duration(Duration::from_secs(.silent.as_secs())),
        humantime::format_duration(LEASE)
    )]
    Draining {
        /// The path of the actor.
        child: String,
        /// The key.
        key: String,
        /// How long it has said nothing.
        silent: Duration,
    },
    /// The dead letter was asked for already.
    #[error("dead letter {number} was redriven already and waits for `{child}`; is its node up?")]
    Asked {
        /// The letter's number.
        number: u64,
        /// The path of the actor.
        child: String,
    },
    /// The dead letter is neither of an event nor of a job, or nothing is left of it.
    #[error("dead letter {number} cannot be redriven: {reason}")]
    NoEvent {
        /// The letter's number.
        number: u64,
        /// What it is instead.
        reason: String,
    },
    /// No message of this key stands there.
    #[error(
        "no message of `{key}` stands at #{sequence} in the events of `{domain}`; \
         `callboard tail {domain} --key {key} --all` shows what does"
    )]
    NoMessage {
        /// The domain.
        domain: String,
        /// The key.
        key: String,
        /// The sequence.
        sequence: u64,
    },
    /// The stream is not there, or has no message of this sequence.
    #[error(
        "there is no message {sequence} in a stream {stream} of this namespace; see `callboard streams list`"
    )]
    NotStored {
        /// The stream.
        stream: String,
        /// The sequence.
        sequence: u64,
    },
    /// The stream keeps its messages for good.
    #[error(
        "stream {stream} keeps all its messages, by its flag `deny_delete`, which the server never \
         takes back; message {sequence} stays. Readers pass over what cannot be read, and it is a \
         dead letter of whoever hears it. Where it makes an entity unusable: `callboard entity skip`"
    )]
    Kept {
        /// The stream.
        stream: String,
        /// The sequence.
        sequence: u64,
    },
    /// Whether it is stored is not known.
    #[error("it may be stored, the server did not confirm it: {reason}; look before you try again")]
    Unknown {
        /// What stood in the way.
        reason: String,
    },
    /// A record cannot be written.
    #[error("this cannot be written down: {reason}")]
    Record {
        /// What is wrong with it.
        reason: String,
    },
    /// What was asked about is in no stream: no node was there that makes it.
    #[error("there is no stream {stream}; was a node of that domain started in this namespace?")]
    NoStream {
        /// The stream.
        stream: String,
    },
    /// A timer could not be taken back.
    #[error(transparent)]
    Cancel(#[from] CancelError),
    /// It cannot be found out how far a reader is.
    #[error(transparent)]
    Consumer(#[from] ConsumerError),
    /// A stream cannot be opened.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// A stream cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A stream refuses a record.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// The actor's readers cannot be told.
    #[error("it is stored, but nobody could be told at once: {0}")]
    Poke(#[from] SendError),
}

impl From<super::ParkingError> for OperatorError {
    fn from(error: super::ParkingError) -> Self {
        match error {
            super::ParkingError::Conflict => Self::Changed,
            super::ParkingError::Unknown(reason) => Self::Unknown { reason },
            super::ParkingError::Append(error) => Self::Append(error),
            super::ParkingError::Park(error) => error.into(),
        }
    }
}

impl From<ParkError> for OperatorError {
    fn from(error: ParkError) -> Self {
        Self::Record { reason: error.to_string() }
    }
}
