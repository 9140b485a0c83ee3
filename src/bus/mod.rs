//! One bus over two carriers: everything that moves goes through here.
//!
//! A [`Bus`] sends and asks (at most once, core), and opens [`Stream`]s that
//! keep messages, give them to durable [`Consumer`]s at least once, and protect
//! a subject by [`Expect`]ing its last sequence. A stream may also keep messages
//! until they are due. The carriers are `embedded` (this process, in memory or
//! stored in a directory) and `nats`; one suite of promises holds for both.
//!
//! This room moves bytes. It knows nothing of events, commands or namespaces,
//! and it does not decide what is retried.

mod consumer;
mod declared;
mod embedded;
mod error;
mod filter;
mod mailbox;
mod message;
mod names;
#[cfg(feature = "nats")]
pub mod nats;
mod partition;
mod presence;
mod reader;
mod schedule;
mod store;
mod stream;
mod subscription;

pub(crate) use consumer::Progress;
pub use consumer::{Consumer, ConsumerConfig, Delivery, Start};
pub use embedded::{StoreCheck, StoreStats, StoredConsumer, StoredStream};
pub use error::{
    AckError, AppendError, CancelError, ConnectError, ConsumerError, OpenError, ReadError,
    RequestError, SendError, StreamError, SubscribeError,
};
pub use filter::{matches, overlap};
pub use message::{Message, Stored};
pub use partition::partition;
pub use presence::Presence;
pub use reader::Reader;
pub(crate) use schedule::{scheduled_for, within_reach};
pub use store::{Durability, Store};
pub(crate) use stream::PARTITIONS;
pub use stream::{Append, Expect, Stream, StreamConfig, StreamInfo};
pub use subscription::Subscription;

use crate::time::Clock;
use std::{fmt, time::Duration};

/// A handle to a carrier; cheap to clone.
///
/// # Examples
///
/// ```
/// use callboard::bus::{Bus, Message};
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// let bus = Bus::embedded();
/// let mut hello = bus.subscribe("greetings.*", None).await?;
/// bus.send(Message::new("greetings.world", "hello")).await?;
/// assert_eq!(hello.next().await.map(|message| message.payload), Some("hello".into()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Bus(Carrier);

#[derive(Clone)]
enum Carrier {
    Embedded(embedded::Broker),
    #[cfg(feature = "nats")]
    Nats(nats::Link),
}

impl Bus {
    /// Opens a bus inside this process.
    ///
    /// Its streams live in memory: they survive any number of actors and nodes
    /// on this bus, and end with the process. Every clone is the same bus.
    pub fn embedded() -> Self {
        Self::embedded_with(Clock::system())
    }

    /// Opens a bus inside this process that keeps its streams in a directory,
    /// given by its path or by [`Store`].
    ///
    /// It takes up what an earlier process left there: streams, their messages,
    /// the ids they remember, and where each consumer stands. What was delivered
    /// and not acknowledged comes again at once. Streams declared with
    /// [`memory`](StreamConfig::memory) are not stored.
    ///
    /// A store from before it was a database, the files `log` and `state`, is taken
    /// over once; the files stay behind as `log.migrated` and `state.migrated`.
    ///
    /// This blocks while the database is opened, which does not depend on how
    /// much it holds, and while an older store is taken over, which does. Appends
    /// and confirmed acknowledgements wait as long as the disk takes; reads of what
    /// is not in memory block their thread for as long. A full disk refuses appends
    /// until there is room; a disk that fails ends the bus, and with it the node. The
    /// directory is free again when the last handle is dropped: buses, streams,
    /// consumers and deliveries.
    ///
    /// # Errors
    ///
    /// Returns [`OpenError`] if another bus has the directory open, or what is
    /// there is damaged or cannot be read.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use callboard::bus::{Bus, Durability, Store};
    ///
    /// let careful = Bus::embedded_at("callboard-data")?;
    /// let quick = Bus::embedded_at(Store::at("cache").durability(Durability::EVERY_SECOND))?;
    /// # Ok::<(), callboard::bus::OpenError>(())
    /// ```
    pub fn embedded_at(store: impl Into<Store>) -> Result<Self, OpenError> {
        embedded::Broker::stored(Clock::system(), store.into())
            .map(|broker| Self(Carrier::Embedded(broker)))
    }

    /// Opens a bus inside this process whose streams take the time from a clock.
    pub(crate) fn embedded_with(clock: Clock) -> Self {
        Self(Carrier::Embedded(embedded::Broker::new(clock)))
    }

    /// Connects to a NATS server, given by its address or by [`nats::Options`].
    ///
    /// The connection is kept: it is made again for as long as the bus lives.
    /// Its socket is driven by the tokio runtime that awaits this.
    ///
    /// # Errors
    ///
    /// Returns [`ConnectError`] if no server answers within 5 s, it refuses the
    /// credentials, is older than 2.12.6, or offers no JetStream.
    ///
    /// # Cancel safety
    ///
    /// Safe: no connection is left behind.
    #[cfg(feature = "nats")]
    pub async fn nats(options: impl Into<nats::Options>) -> Result<Self, ConnectError> {
        nats::Link::connect(options.into())
            .await
            .map(|link| Self(Carrier::Nats(link)))
    }

    /// Opens the same bus over a connection of its own, driven by the runtime
    /// that awaits this. The embedded bus has no connections: it is cloned.
    ///
    /// # Errors
    ///
    /// As [`nats`](Self::nats).
    pub async fn reopen(&self) -> Result<Self, ConnectError> {
        match &self.0 {
            Carrier::Embedded(_) => Ok(self.clone()),
            #[cfg(feature = "nats")]
            Carrier::Nats(link) => link.reopen().await.map(|link| Self(Carrier::Nats(link))),
        }
    }

    /// Returns a handle to the same bus that makes no streams and no consumers.
    ///
    /// Over NATS it sends no request to make any, so a user without that permission
    /// can have it; finite reads then take a request for each message.
    pub(crate) fn provisioned(&self) -> Self {
        match &self.0 {
            Carrier::Embedded(_) => self.clone(),
            #[cfg(feature = "nats")]
            Carrier::Nats(link) => Self(Carrier::Nats(link.provisioned())),
        }
    }

    /// Returns why the streams cannot be used, if they are not those that were.
    pub(crate) fn impairment(&self) -> Option<String> {
        match &self.0 {
            Carrier::Embedded(_) => None,
            #[cfg(feature = "nats")]
            Carrier::Nats(link) => link.impairment(),
        }
    }

    /// Opens the same bus as [`reopen`](Self::reopen) does, so that no message that cannot be
    /// read breaks the connection even once; each takes one more hop.
    pub(crate) async fn reopen_screened(&self) -> Result<Self, ConnectError> {
        match &self.0 {
            Carrier::Embedded(_) => Ok(self.clone()),
            #[cfg(feature = "nats")]
            Carrier::Nats(link) => {
                let link = link.reopen_screened().await?;
                Ok(Self(Carrier::Nats(link)))
            }
        }
    }

    /// Sends a message to whoever listens now; nobody may.
    ///
    /// # Errors
    ///
    /// Returns [`SendError`] if it cannot be sent. `Ok` means handed to the
    /// carrier, not received.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future may or may not send.
    pub async fn send(&self, message: Message) -> Result<(), SendError> {
        match &self.0 {
            Carrier::Embedded(broker) => broker.send(message).await,
            #[cfg(feature = "nats")]
            Carrier::Nats(link) => link.send(message).await,
        }
    }

    /// Returns how often the server has refused something so far; see [`refused`](Self::refused).
    pub(crate) fn refusals(&self) -> u64 {
        match &self.0 {
            Carrier::Embedded(_) => 0,
            #[cfg(feature = "nats")]
            Carrier::Nats(link) => link.refusals(),
        }
    }

    /// Waits until the server says that it refuses a message on a subject, after so many other
    /// refusals. The embedded bus refuses none.
    #[cfg_attr(
        not(feature = "nats"),
        expect(unused_variables, reason = "there is no server")
    )]
    pub(crate) async fn refused(&self, after: u64, subject: &str) -> SendError {
        match &self.0 {
            Carrier::Embedded(_) => std::future::pending().await,
            #[cfg(feature = "nats")]
            Carrier::Nats(link) => link.refused(after, subject).await,
        }
    }

    /// Listens to all subjects that match a filter, and returns once the
    /// carrier knows it. Of all subscriptions of one queue, one gets each message.
    ///
    /// # Errors
    ///
    /// Returns [`SubscribeError`] if the filter is malformed or the server does not confirm.
    ///
    /// # Cancel safety
    ///
    /// Safe: a dropped future leaves no subscription.
    pub async fn subscribe(
        &self,
        filter: &str,
        queue: Option<&str>,
    ) -> Result<Subscription, SubscribeError> {
        match &self.0 {
            Carrier::Embedded(broker) => {
                broker.subscribe(filter, queue).map(Subscription::embedded)
            }
            #[cfg(feature = "nats")]
            Carrier::Nats(link) => link.subscribe(filter, queue).await.map(Subscription::nats),
        }
    }

    /// Subscribes to subjects that a stream keeps. What comes there may be published by
    /// anybody, so it comes on the connection of readers: what breaks that is no trouble of
    /// commands.
    pub(crate) async fn subscribe_to_stored(
        &self,
        filter: &str,
    ) -> Result<Subscription, SubscribeError> {
        match &self.0 {
            Carrier::Embedded(_) => self.subscribe(filter, None).await,
            #[cfg(feature = "nats")]
            Carrier::Nats(link) => {
                let readers = link.readers().await;
                let readers = readers.map_err(|error| SubscribeError::Unconfirmed {
                    filter: filter.to_owned(),
                    reason: error.to_string(),
                })?;
                readers
                    .subscribe(filter, None)
                    .await
                    .map(Subscription::nats)
            }
        }
    }

    /// Sends a message and waits for the first reply. The message's own reply
    /// subject is ignored.
    ///
    /// # Errors
    ///
    /// Returns [`RequestError::NoResponders`] at once if nobody listens,
    /// [`RequestError::Timeout`] if no reply came, and [`RequestError::Lost`] if the
    /// connection ended before one could come.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future may or may not send; a late reply is discarded.
    pub async fn request(
        &self,
        message: Message,
        timeout: Duration,
    ) -> Result<Message, RequestError> {
        match &self.0 {
            Carrier::Embedded(broker) => broker.request(message, timeout).await,
            #[cfg(feature = "nats")]
            Carrier::Nats(link) => link.request(message, timeout).await,
        }
    }

    /// Opens a stream, and makes it if it is not there.
    ///
    /// # Errors
    ///
    /// Returns [`StreamError`] if it is there with other settings, overlaps
    /// another, or the server refuses it.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future may or may not make the stream; opening it again is harmless.
    pub async fn stream(&self, config: &StreamConfig) -> Result<Stream, StreamError> {
        match &self.0 {
            Carrier::Embedded(broker) => broker
                .stream(config)
                .map(|stream| Stream(stream::Kind::Embedded(stream))),
            #[cfg(feature = "nats")]
            Carrier::Nats(link) => link
                .stream(config)
                .await
                .map(|stream| Stream(stream::Kind::Nats(stream))),
        }
    }

    /// Compares a stream's declaration with what is there; changes nothing.
    ///
    /// # Errors
    ///
    /// Returns [`StreamError`] if the declaration cannot be, or the server does
    /// not answer.
    pub async fn compare(&self, config: &StreamConfig) -> Result<Presence, StreamError> {
        match &self.0 {
            Carrier::Embedded(broker) => broker.compare(config),
            #[cfg(feature = "nats")]
            Carrier::Nats(link) => link.compare(config).await,
        }
    }

    /// Compares a consumer's declaration with what is there; changes nothing.
    ///
    /// # Errors
    ///
    /// Returns [`ConsumerError`] if the declaration cannot be, or the server
    /// does not answer.
    pub async fn compare_consumer(
        &self,
        stream: &StreamConfig,
        config: &ConsumerConfig,
    ) -> Result<Presence, ConsumerError> {
        match &self.0 {
            Carrier::Embedded(broker) => broker.compare_consumer(stream, config),
            #[cfg(feature = "nats")]
            Carrier::Nats(link) => link.compare_consumer(stream, config).await,
        }
    }

    /// Returns all streams of the carrier, also those of others.
    ///
    /// # Errors
    ///
    /// Returns [`StreamError::Unavailable`] if the server does not answer.
    pub async fn streams(&self) -> Result<Vec<StreamInfo>, StreamError> {
        match &self.0 {
            Carrier::Embedded(broker) => Ok(broker.streams()),
            #[cfg(feature = "nats")]
            Carrier::Nats(link) => link.streams().await,
        }
    }

    /// Returns one message of any stream, on the subject under which it is filed. One whose
    /// headers cannot be read has its bytes in its payload.
    pub(crate) async fn message(
        &self,
        stream: &str,
        sequence: u64,
    ) -> Result<Option<Stored>, ReadError> {
        match &self.0 {
            Carrier::Embedded(broker) => broker.message(stream, sequence),
            #[cfg(feature = "nats")]
            Carrier::Nats(link) => link.message(stream, sequence).await,
        }
    }

    /// Deletes one message of a stream that allows it; says whether it was there.
    pub(crate) async fn delete(&self, stream: &str, sequence: u64) -> Result<bool, ReadError> {
        match &self.0 {
            Carrier::Embedded(broker) => broker.delete(stream, sequence).await,
            #[cfg(feature = "nats")]
            Carrier::Nats(link) => link.delete(stream, sequence).await,
        }
    }

    /// Says whether there is a stream of this name.
    pub(crate) async fn has_stream(&self, name: &str) -> Result<bool, StreamError> {
        match &self.0 {
            Carrier::Embedded(broker) => Ok(broker.has_stream(name)),
            #[cfg(feature = "nats")]
            Carrier::Nats(link) => link.has_stream(name).await,
        }
    }

    /// Sends what is still buffered and closes the connection, within 2 s.
    /// The embedded bus stays open for its other handles; a stored one is synced.
    pub async fn close(&self) {
        match &self.0 {
            Carrier::Embedded(broker) => broker.sync().await,
            #[cfg(feature = "nats")]
            Carrier::Nats(link) => link.close().await,
        }
    }

    /// Returns whether it is inside this process, where no connection breaks.
    pub(crate) const fn is_in_process(&self) -> bool {
        matches!(&self.0, Carrier::Embedded(_))
    }

    /// Returns the number of the connection to the server: while it stays the same,
    /// the server was not started anew. The embedded bus has one.
    pub(crate) fn connection(&self) -> u64 {
        match &self.0 {
            Carrier::Embedded(_) => 1,
            #[cfg(feature = "nats")]
            Carrier::Nats(link) => link.connection(),
        }
    }

    /// Says what the streams are kept on.
    pub(crate) fn medium(&self) -> Medium {
        match &self.0 {
            Carrier::Embedded(broker) => broker
                .options()
                .map_or(Medium::Memory, |store| Medium::Store(store.durable())),
            #[cfg(feature = "nats")]
            Carrier::Nats(_) => Medium::Server,
        }
    }

    /// Waits until the bus carries nothing any more, and says why: its
    /// connection is gone for good, or its store cannot be used.
    pub(crate) async fn ended(&self) -> String {
        match &self.0 {
            Carrier::Embedded(broker) => broker.ended().await,
            #[cfg(feature = "nats")]
            Carrier::Nats(link) => {
                link.ended().await;
                "its connection to the bus broke down for good".to_owned()
            }
        }
    }

    /// Returns how many messages the embedded bus still has to deliver or waits
    /// to see acknowledged; nothing for another carrier.
    #[cfg(feature = "test-util")]
    pub(crate) fn unsettled(&self) -> Option<usize> {
        match &self.0 {
            Carrier::Embedded(broker) => Some(broker.unsettled()),
            #[cfg(feature = "nats")]
            Carrier::Nats(_) => None,
        }
    }
}

/// What a bus keeps its streams on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Medium {
    Memory,
    Store(Durability),
    #[cfg_attr(
        not(feature = "nats"),
        expect(dead_code, reason = "there is no server")
    )]
    Server,
}

/// Writes where messages go and what survives, for a log line.
impl fmt::Display for Bus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Carrier::Embedded(broker) => match broker.options() {
                None => f.write_str("embedded, in memory: nothing survives the process"),
                Some(store) => store.fmt(f),
            },
            #[cfg(feature = "nats")]
            Carrier::Nats(link) => link.fmt(f),
        }
    }
}

impl fmt::Debug for Bus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bus({self})")
    }
}
