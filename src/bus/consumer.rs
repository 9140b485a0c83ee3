#[cfg(feature = "nats")]
use super::nats;
use super::{AckError, ConsumerError, Stored, embedded};
use futures_util::future::BoxFuture;
use std::{future::ready, time::Duration};

/// Which messages a consumer delivers, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConsumerConfig {
    /// Its durable name: no dot, wildcard or white space.
    pub name: String,
    /// Which subjects, as they were published; nothing for all.
    pub filter: Option<String>,
    /// Which partition of a partitioned stream; nothing for all. Not together
    /// with a filter.
    pub partition: Option<u32>,
    /// Where a new consumer starts.
    pub start: Start,
    /// How long a delivered message may stay unacknowledged before it comes again.
    pub ack_wait: Duration,
    /// How often a message is delivered before it is given up; nothing for no limit.
    pub max_deliver: Option<u32>,
    /// How many messages may be unacknowledged at once.
    pub max_ack_pending: usize,
    /// Whether one handle at a time gets all messages; when it goes silent,
    /// another takes over. This is placement, not exclusion: a silent handle
    /// may come back.
    pub pinned: bool,
}

impl ConsumerConfig {
    /// Describes a consumer of the whole stream from its start: acknowledgement
    /// within 30 s, no limit of deliveries, 1,000 unacknowledged at once.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            filter: None,
            partition: None,
            start: Start::First,
            ack_wait: Duration::from_secs(30),
            max_deliver: None,
            max_ack_pending: 1_000,
            pinned: false,
        }
    }
}

/// Where a new consumer starts to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// At the stream's first message.
    First,
    /// At this sequence.
    Sequence(u64),
    /// At the next message to be stored.
    New,
}

/// A handle to a durable consumer.
#[derive(Debug)]
pub struct Consumer(Kind);

#[derive(Debug)]
enum Kind {
    Embedded(embedded::Consumer),
    #[cfg(feature = "nats")]
    Nats(Box<nats::Consumer>),
}

impl Consumer {
    pub(super) const fn embedded(consumer: embedded::Consumer) -> Self {
        Self(Kind::Embedded(consumer))
    }

    #[cfg(feature = "nats")]
    pub(super) fn nats(consumer: nats::Consumer) -> Self {
        Self(Kind::Nats(Box::new(consumer)))
    }

    /// Waits for the next message.
    ///
    /// Lost connections and stalls are mended inside: it returns an error only
    /// when the consumer or its stream is gone.
    ///
    /// # Errors
    ///
    /// Returns [`ConsumerError`] if there will be no further message.
    ///
    /// # Cancel safety
    ///
    /// Safe: a message is not lost if the future is dropped; it is returned by
    /// the next call or delivered again.
    pub async fn next(&mut self) -> Result<Delivery, ConsumerError> {
        match &mut self.0 {
            Kind::Embedded(consumer) => consumer.next().await,
            #[cfg(feature = "nats")]
            Kind::Nats(consumer) => consumer.next().await,
        }
    }

    /// Returns how far the consumer is. The future can be awaited while the
    /// consumer is used.
    ///
    /// # Errors
    ///
    /// Returns [`ConsumerError`] if that could not be found out within 2 s.
    ///
    /// # Cancel safety
    ///
    /// Safe: nothing is changed.
    pub(crate) fn progress(&self) -> BoxFuture<'static, Result<Progress, ConsumerError>> {
        match &self.0 {
            Kind::Embedded(consumer) => Box::pin(ready(Ok(consumer.progress()))),
            #[cfg(feature = "nats")]
            Kind::Nats(consumer) => Box::pin(consumer.progress()),
        }
    }

    /// Lets nothing more come to this handle; there is no `next` after this.
    ///
    /// What is given back from now on goes to another handle, in the order in
    /// which it is given back.
    pub(crate) async fn retire(&mut self) {
        match &mut self.0 {
            // It is handed nothing that it does not ask for.
            Kind::Embedded(_) => {}
            #[cfg(feature = "nats")]
            Kind::Nats(consumer) => consumer.retire().await,
        }
    }

    /// Leaves everything to another handle, which may have it already: nothing
    /// is given back, and nobody is asked to make room.
    pub(crate) fn abandon(self) {
        match self.0 {
            Kind::Embedded(consumer) => drop(consumer),
            #[cfg(feature = "nats")]
            Kind::Nats(consumer) => consumer.abandon(),
        }
    }

    /// Gives back what came and was not returned, and makes room for another
    /// handle. Dropping it does the same, with nobody to wait for it.
    pub(crate) async fn close(self) {
        match self.0 {
            Kind::Embedded(consumer) => drop(consumer),
            #[cfg(feature = "nats")]
            Kind::Nats(consumer) => consumer.close().await,
        }
    }
}

/// How far a consumer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Up to which sequence all is settled.
    pub(crate) floor: u64,
    /// Up to which sequence messages were delivered at all.
    pub(crate) delivered: u64,
    /// How many deliveries there were.
    pub(crate) turns: u64,
    /// How many messages are delivered and not settled.
    pub(crate) outstanding: usize,
    /// Whether this handle of a pinned consumer is the one, or none is.
    pub(crate) ours: bool,
}

/// A message that awaits its acknowledgement.
#[derive(Debug)]
pub struct Delivery {
    /// The message.
    pub message: Stored,
    /// How often it was delivered by now, from 1.
    pub attempt: u32,
    /// How many messages wait behind it.
    pub pending: u64,
    /// Its place among the consumer's deliveries.
    pub(crate) turn: u64,
    /// Whether others may have been served since the one that came here before.
    pub(crate) resumed: bool,
    acker: Acker,
}

#[derive(Debug)]
pub(super) enum Acker {
    Embedded(embedded::Acker),
    #[cfg(feature = "nats")]
    Nats(nats::Acker),
}

/// What an acknowledgement says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ack {
    Done,
    Again(Duration),
    Working,
    Never,
}

impl Delivery {
    pub(super) const fn new(message: Stored, attempt: u32, pending: u64, acker: Acker) -> Self {
        Self { message, attempt, pending, turn: 0, resumed: true, acker }
    }

    /// Sets its place among the consumer's deliveries, and whether others may
    /// have been served before it.
    pub(super) const fn at(mut self, turn: u64, resumed: bool) -> Self {
        self.turn = turn;
        self.resumed = resumed;
        self
    }

    /// Says that the message is done. It is sent but not confirmed: if it gets
    /// lost, the message comes again.
    ///
    /// # Errors
    ///
    /// Returns [`AckError`] if it could not be sent.
    pub async fn ack(self) -> Result<(), AckError> {
        self.say(Ack::Done).await
    }

    /// Says that the message is done and waits until the stream has noted it.
    ///
    /// # Errors
    ///
    /// Returns [`AckError`] if the stream did not confirm within 5 s.
    pub async fn ack_confirmed(self) -> Result<(), AckError> {
        match &self.acker {
            Acker::Embedded(acker) => acker.confirm(&self.message).await,
            #[cfg(feature = "nats")]
            Acker::Nats(acker) => acker.confirm(&self.message).await,
        }
    }

    /// Asks for the message again after a delay.
    ///
    /// # Errors
    ///
    /// Returns [`AckError`] if it could not be sent; then it comes after the ack wait.
    pub async fn nak(self, delay: Duration) -> Result<(), AckError> {
        self.say(Ack::Again(delay)).await
    }

    /// Says that the message is being worked on: the ack wait starts anew.
    ///
    /// # Errors
    ///
    /// Returns [`AckError`] if it could not be sent.
    pub async fn progress(&self) -> Result<(), AckError> {
        self.say(Ack::Working).await
    }

    /// Says that the message is being worked on, and returns whether the stream
    /// has noted it within 5 s. The future does not borrow the delivery.
    pub(crate) fn confirm_progress(&self) -> BoxFuture<'static, bool> {
        match &self.acker {
            Acker::Embedded(acker) => {
                acker.progress(&self.message);
                Box::pin(ready(true))
            }
            #[cfg(feature = "nats")]
            Acker::Nats(acker) => Box::pin(acker.confirm_progress()),
        }
    }

    /// Says that the message shall never come again, though it is not done.
    ///
    /// # Errors
    ///
    /// Returns [`AckError`] if it could not be sent.
    pub async fn term(self) -> Result<(), AckError> {
        self.say(Ack::Never).await
    }

    async fn say(&self, ack: Ack) -> Result<(), AckError> {
        match &self.acker {
            Acker::Embedded(acker) => acker.say(&self.message, ack).await,
            #[cfg(feature = "nats")]
            Acker::Nats(acker) => acker.say(&self.message, ack).await,
        }
    }
}
