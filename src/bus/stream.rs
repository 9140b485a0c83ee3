#[cfg(feature = "nats")]
use super::nats;
use super::{
    AppendError, CancelError, Consumer, ConsumerConfig, ConsumerError, Message, Progress,
    ReadError, Reader, Stored, embedded, names::size,
};
use crate::message::{
    Headers, Namespace,
    headers::{CB_ID, MSG_ID},
};
use std::time::{Duration, SystemTime};

/// How many bytes the headers of a stored message may take: what a server stores,
/// 65,535, less what an append adds.
const LARGEST_HEADERS: usize = 65_000;

/// How many partitions the events of a domain are filed in.
pub(crate) const PARTITIONS: u32 = 8;

/// What a stream keeps and how.
///
/// A stream keeps messages until it is deleted as a whole and refuses new ones
/// when full; only one that is asked to keep the last per subject drops others.
/// What was scheduled leaves it when due, and is a message on its target then.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub struct StreamConfig {
    /// Its name: no dot, wildcard or white space.
    pub name: String,
    /// The filters of the subjects it keeps.
    pub subjects: Vec<String>,
    /// How many partitions its messages are filed in by the last token of
    /// their subject; 0 for none. Needs one subject, ending in `.*`; of a stream
    /// with schedules the first is partitioned.
    pub partitions: u32,
    /// Whether messages can be neither deleted nor purged. That cannot be taken back: a
    /// stream that is so is accepted where it need not be.
    pub immutable: bool,
    /// Whether it keeps messages until they are due; see
    /// [`Message::scheduled`](super::Message::scheduled).
    ///
    /// A due message leaves its place, and whoever may publish to the stream
    /// may take one back: so a stream of facts, which is immutable, keeps none.
    /// A limit would drop what is not due yet: so it has none.
    pub schedules: bool,
    /// Whether a message replaces the one before it on its subject. Such a
    /// stream is read, and has no consumers.
    pub last_per_subject: bool,
    /// How many messages it may hold; nothing for no limit.
    pub max_messages: Option<u64>,
    /// How long a message id is remembered; a second message of that id within
    /// this time is not stored.
    pub duplicate_window: Duration,
    /// How many servers keep a copy; the embedded bus keeps one.
    pub replicas: usize,
    /// Whether it is kept in memory only.
    pub memory: bool,
}

impl StreamConfig {
    /// Describes a stream that keeps these subjects, unpartitioned.
    pub fn new(name: impl Into<String>, subjects: impl IntoIterator<Item = String>) -> Self {
        Self {
            name: name.into(),
            subjects: subjects.into_iter().collect(),
            partitions: 0,
            immutable: true,
            schedules: false,
            last_per_subject: false,
            max_messages: None,
            duplicate_window: Duration::from_mins(2),
            replicas: 1,
            memory: false,
        }
    }

    /// Describes the stream of a domain's events, in 8 partitions by key.
    pub fn events(namespace: &Namespace, domain: &str) -> Self {
        Self {
            partitions: PARTITIONS,
            ..Self::new(namespace.event_stream(domain), [namespace.events(domain)])
        }
    }

    /// Describes the stream of a domain's jobs, in 8 partitions by key, and of
    /// the timers that fire them.
    pub fn jobs(namespace: &Namespace, domain: &str) -> Self {
        Self {
            partitions: PARTITIONS,
            immutable: false,
            schedules: true,
            ..Self::new(
                namespace.job_stream(domain),
                [namespace.jobs(domain), namespace.timers(domain)],
            )
        }
    }

    /// Describes the stream of dead letters.
    pub fn dead(namespace: &Namespace) -> Self {
        Self {
            immutable: false,
            ..Self::new(namespace.dead_stream(), [namespace.all_dead()])
        }
    }

    /// Describes the stream of snapshots: the last one of each entity.
    pub fn snapshots(namespace: &Namespace) -> Self {
        Self {
            immutable: false,
            last_per_subject: true,
            ..Self::new(namespace.snapshot_stream(), [namespace.all_snapshots()])
        }
    }

    /// Describes the stream of what is left out of entities: the last word on each.
    pub fn skipped(namespace: &Namespace) -> Self {
        Self {
            immutable: false,
            last_per_subject: true,
            ..Self::new(namespace.skip_stream(), [namespace.all_skips()])
        }
    }

    /// Describes the stream of parked keys.
    pub fn parked(namespace: &Namespace) -> Self {
        Self {
            immutable: false,
            ..Self::new(namespace.park_stream(), [namespace.all_parked()])
        }
    }

    /// Describes the stream of a saga's journals.
    pub fn sagas(namespace: &Namespace, saga: &str) -> Self {
        Self {
            immutable: false,
            ..Self::new(namespace.saga_stream(saga), [namespace.sagas(saga)])
        }
    }

    /// Describes the stream of what asks sagas to go on, now or at a time.
    pub fn errands(namespace: &Namespace, saga: &str) -> Self {
        Self {
            immutable: false,
            schedules: true,
            ..Self::new(namespace.errand_stream(saga), namespace.errands(saga))
        }
    }

    /// Sets how many servers keep a copy.
    #[must_use]
    pub const fn replicas(mut self, replicas: usize) -> Self {
        self.replicas = replicas;
        self
    }
}

/// What a stream holds now.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamInfo {
    /// The stream's name.
    pub name: String,
    /// The filters of the subjects it keeps.
    pub subjects: Vec<String>,
    /// How many messages it holds.
    pub messages: u64,
    /// The sequence of its last message; 0 if it never had one.
    pub last_sequence: u64,
    /// Whether its messages can be neither deleted nor purged.
    pub immutable: bool,
}

/// What must be so for a message to be appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// Nothing.
    Any,
    /// The last message on the subject has this sequence; 0 for none yet.
    Last(u64),
}

/// How an append ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Append {
    /// The message is stored.
    Committed {
        /// Its sequence in the stream.
        sequence: u64,
        /// Whether it was stored by an earlier attempt.
        duplicate: bool,
    },
    /// The expectation does not hold; nothing was stored.
    Conflict,
    /// Whether it is stored could not be found out in time. Append it again
    /// with the same id to find out.
    Unknown {
        /// What stood in the way.
        reason: String,
    },
}

/// A handle to one stream; cheap to clone.
#[derive(Clone, Debug)]
pub struct Stream(pub(super) Kind);

#[derive(Clone, Debug)]
pub(super) enum Kind {
    Embedded(embedded::Stream),
    #[cfg(feature = "nats")]
    Nats(nats::Stream),
}

impl Stream {
    /// Appends a message and returns once it is stored, or certainly not.
    ///
    /// The message must carry `Nats-Msg-Id`: a message of an id that the stream
    /// remembers is not stored twice. A lost confirmation is settled here, by
    /// trying again with the same id and by reading the subject, for up to 10 s.
    ///
    /// # Errors
    ///
    /// Returns [`AppendError`] if the stream refuses the message; then it is not stored.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future may or may not append. Append again with the same id.
    pub async fn append(&self, message: Message, expect: Expect) -> Result<Append, AppendError> {
        let bytes = size(&message.headers, &[]);
        if bytes > LARGEST_HEADERS {
            let subject = message.subject;
            return Err(AppendError::Headers { subject, bytes, limit: LARGEST_HEADERS });
        }
        match &self.0 {
            Kind::Embedded(stream) => stream.append(message, expect).await,
            #[cfg(feature = "nats")]
            Kind::Nats(stream) => stream.append(message, expect).await,
        }
    }

    /// Takes back the message that is scheduled on a subject; returns whether
    /// one was there.
    ///
    /// One that is due at this moment may be passed on all the same, or have
    /// been already: who receives it decides whether it still means something.
    /// If a lost confirmation made it ask twice, it says that none was there.
    ///
    /// # Errors
    ///
    /// Returns [`CancelError`] if the stream keeps no schedules, or does not confirm.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future may or may not take it back; doing it again is harmless.
    pub async fn cancel(&self, subject: &str) -> Result<bool, CancelError> {
        match &self.0 {
            Kind::Embedded(stream) => stream.cancel(subject).await,
            #[cfg(feature = "nats")]
            Kind::Nats(stream) => stream.cancel(subject).await,
        }
    }

    /// Returns the last message on a subject, as the stream's leader knows it.
    ///
    /// # Errors
    ///
    /// Returns [`ReadError`] if the stream cannot be read.
    ///
    /// # Cancel safety
    ///
    /// Safe: nothing is changed.
    pub async fn last(&self, subject: &str) -> Result<Option<Stored>, ReadError> {
        match &self.0 {
            Kind::Embedded(stream) => stream.last(subject).await,
            #[cfg(feature = "nats")]
            Kind::Nats(stream) => stream.last(subject).await,
        }
    }

    /// Reads the messages that match a filter, in order, from a sequence on,
    /// up to what the stream held when this was called.
    ///
    /// # Errors
    ///
    /// Returns [`ReadError`] if the stream cannot be read.
    ///
    /// # Cancel safety
    ///
    /// Safe: nothing is changed.
    pub async fn read(&self, filter: &str, from: u64) -> Result<Reader, ReadError> {
        match &self.0 {
            Kind::Embedded(stream) => stream.read(filter, from).await.map(Reader::embedded),
            #[cfg(feature = "nats")]
            Kind::Nats(stream) => stream.read(filter, from).await.map(Reader::nats),
        }
    }

    /// Returns the sequence of the message with an id on a subject, if one was
    /// stored at this time or later, however long ago the stream forgot the id. What
    /// was passed on when it was due is known by the command's id, which it keeps.
    ///
    /// # Errors
    ///
    /// Returns [`ReadError`] if the stream cannot be read.
    ///
    /// # Cancel safety
    ///
    /// Safe: nothing is changed.
    pub(crate) async fn find(
        &self,
        subject: &str,
        id: &str,
        since: SystemTime,
    ) -> Result<Option<u64>, ReadError> {
        if self.keeps_ids() {
            // It says so when the message is appended, without a look at the past.
            return Ok(None);
        }
        match self.last(subject).await? {
            Some(last) if last.time >= since => {}
            _ => return Ok(None),
        }
        let mut reader = match &self.0 {
            Kind::Embedded(stream) => Reader::embedded(stream.read(subject, 1).await?),
            #[cfg(feature = "nats")]
            Kind::Nats(stream) => Reader::nats(stream.read_since(subject, since).await?),
        };
        let has = |headers: &Headers, name| headers.get(name) == Some(id);
        while let Some(stored) = reader.next().await? {
            let headers = &stored.headers;
            if stored.time >= since && (has(headers, MSG_ID) || has(headers, CB_ID)) {
                return Ok(Some(stored.sequence));
            }
        }
        Ok(None)
    }

    /// Reads at least the last message of each subject that matches a filter with a
    /// wildcard, in order; where no consumer may be made, also those before.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    ///
    /// # Cancel safety
    ///
    /// Safe: nothing is changed.
    pub(crate) async fn read_last(&self, filter: &str) -> Result<Reader, ReadError> {
        match &self.0 {
            Kind::Embedded(stream) => stream.read_last(filter).map(Reader::embedded),
            #[cfg(feature = "nats")]
            Kind::Nats(stream) => stream.read_last(filter).await.map(Reader::nats),
        }
    }

    /// Whether it knows the ids of all that it holds.
    fn keeps_ids(&self) -> bool {
        match &self.0 {
            Kind::Embedded(stream) => stream.keeps_ids(),
            #[cfg(feature = "nats")]
            Kind::Nats(_) => false,
        }
    }

    /// Reads the messages of one partition as [`read`](Self::read) does.
    pub(crate) async fn read_partition(
        &self,
        partition: u32,
        from: u64,
    ) -> Result<Reader, ReadError> {
        match &self.0 {
            Kind::Embedded(stream) => Ok(Reader::embedded(stream.read_partition(partition, from))),
            #[cfg(feature = "nats")]
            Kind::Nats(stream) => stream
                .read_partition(partition, from)
                .await
                .map(Reader::nats),
        }
    }

    /// Makes a durable consumer, or takes up the one of that name.
    ///
    /// Several handles of one consumer share its messages, on one or many nodes.
    ///
    /// # Errors
    ///
    /// Returns [`ConsumerError`] if the consumer cannot be made, or one of that
    /// name reads something else.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future may or may not make the consumer; making it again is harmless.
    pub async fn consumer(&self, config: &ConsumerConfig) -> Result<Consumer, ConsumerError> {
        match &self.0 {
            Kind::Embedded(stream) => stream.consumer(config).await.map(Consumer::embedded),
            #[cfg(feature = "nats")]
            Kind::Nats(stream) => stream.consumer(config).await.map(Consumer::nats),
        }
    }

    /// Returns how far a durable consumer is; nothing if there is none of that name.
    ///
    /// # Errors
    ///
    /// Returns [`ConsumerError`] if that could not be found out.
    ///
    /// # Cancel safety
    ///
    /// Safe: nothing is changed.
    pub(crate) async fn progress_of(
        &self,
        consumer: &str,
    ) -> Result<Option<Progress>, ConsumerError> {
        match &self.0 {
            Kind::Embedded(stream) => Ok(stream.progress_of(consumer)),
            #[cfg(feature = "nats")]
            Kind::Nats(stream) => stream.progress_of(consumer).await,
        }
    }

    /// Returns what the stream holds now.
    ///
    /// # Errors
    ///
    /// Returns [`ReadError`] if the stream cannot be read.
    pub async fn info(&self) -> Result<StreamInfo, ReadError> {
        match &self.0 {
            Kind::Embedded(stream) => stream.info().await,
            #[cfg(feature = "nats")]
            Kind::Nats(stream) => stream.info().await,
        }
    }
}
