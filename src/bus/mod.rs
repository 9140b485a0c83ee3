//! One bus over two carriers: everything that moves goes through here.
//!
//! A [`Bus`] sends and asks (at most once, core), and opens [`Stream`]s that
//! keep messages, give them to durable [`Consumer`]s at least once, and protect
//! a subject by [`Expect`]ing its last sequence. The carriers are `embedded`
//! (this process, in memory) and `nats`; one suite of promises holds for both.
//!
//! This room moves bytes. It knows nothing of events, commands or namespaces,
//! and it does not decide what is retried.

mod consumer;
mod declared;
mod embedded;
mod error;
mod filter;
mod message;
mod names;
#[cfg(feature = "nats")]
pub mod nats;
mod partition;
mod reader;
mod stream;
mod subscription;

pub use consumer::{Consumer, ConsumerConfig, Delivery, Start};
pub use error::{
    AckError, AppendError, ConnectError, ConsumerError, ReadError, RequestError, SendError,
    StreamError, SubscribeError,
};
pub use filter::{matches, overlap};
pub use message::{Message, Stored};
pub use partition::partition;
pub use reader::Reader;
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
            Carrier::Embedded(broker) => broker.send(message),
            #[cfg(feature = "nats")]
            Carrier::Nats(link) => link.send(message).await,
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

    /// Sends a message and waits for the first reply. The message's own reply
    /// subject is ignored.
    ///
    /// # Errors
    ///
    /// Returns [`RequestError::NoResponders`] at once if nobody listens, and
    /// [`RequestError::Timeout`] if no reply came.
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

    /// Sends what is still buffered and closes the connection, within 2 s.
    /// The embedded bus stays open for its other handles.
    pub async fn close(&self) {
        match &self.0 {
            Carrier::Embedded(_) => {}
            #[cfg(feature = "nats")]
            Carrier::Nats(link) => link.close().await,
        }
    }

    /// Waits until the connection is gone for good; the embedded bus has none.
    pub(crate) async fn ended(&self) {
        match &self.0 {
            Carrier::Embedded(_) => std::future::pending().await,
            #[cfg(feature = "nats")]
            Carrier::Nats(link) => link.ended().await,
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

/// Writes where messages go and what survives, for a log line.
impl fmt::Display for Bus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Carrier::Embedded(_) => {
                f.write_str("embedded, in memory: nothing survives the process")
            }
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
