use super::{
    Stream, Subscription,
    inbox::Inboxes,
    kept::Kept,
    lease::Lease,
    log::Outcome,
    pub_ack::{pub_ack, unscheduled},
    read,
    record::Record,
    routes::{Listener, Routes},
    store::{self, Broken, Keeper, Needs},
    ticket::told,
    write,
};
use crate::{
    bus::{
        ConsumerConfig, ConsumerError, Expect, Message, OpenError, Presence, ReadError,
        RequestError, SendError, Store, Stored, StreamConfig, StreamError, StreamInfo,
        SubscribeError, declared,
        mailbox::MESSAGES,
        names::{LARGEST, is_filter, is_queue, is_subject, size},
        overlap,
        schedule::Schedule,
    },
    time::Clock,
};
use std::{
    fmt,
    sync::{
        Arc, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{task::coop::consume_budget, time::timeout};

/// How long a subject may be before it counts towards the size of its message.
const USUAL_SUBJECT: usize = 4_096;
/// By this header a plain NATS client expects a subject's last sequence.
const EXPECTED: &str = "Nats-Expected-Last-Subject-Sequence";

/// The bus inside this process; every clone is the same.
#[derive(Clone)]
pub(in crate::bus) struct Broker(Arc<Shared>);

struct Shared {
    clock: Clock,
    routes: RwLock<Routes>,
    inboxes: Inboxes,
    streams: RwLock<Vec<Arc<Kept>>>,
    subscriptions: AtomicU64,
    keeper: Option<Arc<Keeper>>,
}

impl Broker {
    pub(in crate::bus) fn new(clock: Clock) -> Self {
        Self::over(clock, None, Vec::new())
    }

    pub(in crate::bus) fn stored(clock: Clock, store: Store) -> Result<Self, OpenError> {
        let (keeper, streams) = store::open(store, clock)?;
        Ok(Self::over(clock, Some(keeper), streams))
    }

    fn over(clock: Clock, keeper: Option<Arc<Keeper>>, streams: Vec<Arc<Kept>>) -> Self {
        Self(Arc::new(Shared {
            clock,
            routes: RwLock::default(),
            inboxes: Inboxes::default(),
            streams: RwLock::new(streams),
            subscriptions: AtomicU64::new(0),
            keeper,
        }))
    }

    /// Returns where it is stored, if it is.
    pub(in crate::bus) fn options(&self) -> Option<&Store> {
        self.0.keeper.as_ref().map(|keeper| keeper.disk().options())
    }

    /// Waits until all that was done is on disk.
    pub(in crate::bus) async fn sync(&self) {
        if let Some(keeper) = &self.0.keeper {
            // A store that failed has said so in the log.
            drop(told(keeper.disk().after(Needs::Sync)).await);
        }
    }

    /// Waits until nothing can be stored any more, and says why; for ever if
    /// nothing is stored.
    pub(in crate::bus) async fn ended(&self) -> String {
        let Some(keeper) = &self.0.keeper else {
            return std::future::pending().await;
        };
        keeper.disk().ended().await;
        let failure = keeper.disk().failure();
        failure.map_or_else(String::new, |broken| broken.0.as_ref().into())
    }

    pub(in crate::bus) async fn send(&self, message: Message) -> Result<(), SendError> {
        Self::check(&message)?;
        self.publish(message).await;
        Ok(())
    }

    pub(in crate::bus) fn subscribe(
        &self,
        filter: &str,
        queue: Option<&str>,
    ) -> Result<Subscription, SubscribeError> {
        for (text, good) in [
            (filter, is_filter(filter)),
            (queue.unwrap_or_default(), queue.is_none_or(is_queue)),
        ] {
            if !good {
                return Err(SubscribeError::Filter { filter: text.into() });
            }
        }
        let id = self.0.subscriptions.fetch_add(1, Ordering::Relaxed);
        let (listener, messages) = Listener::new(id, MESSAGES);
        write(&self.0.routes).add(filter, queue, listener);
        let (broker, filter) = (self.clone(), filter.into());
        Ok(Subscription { broker, filter, id, messages })
    }

    pub(super) fn unsubscribe(&self, filter: &str, id: u64) {
        write(&self.0.routes).remove(filter, id);
    }

    pub(in crate::bus) async fn request(
        &self,
        mut message: Message,
        within: Duration,
    ) -> Result<Message, RequestError> {
        Self::check(&message)?;
        consume_budget().await;
        let subject = message.subject.clone();
        let mut inbox = self.0.inboxes.open();
        message.reply = Some(inbox.subject());
        if !self.publish(message).await {
            return Err(RequestError::NoResponders { subject });
        }
        match timeout(within, inbox.reply()).await {
            Ok(Some(reply)) => Ok(reply),
            Ok(None) | Err(_) => Err(RequestError::Timeout { subject, timeout: within }),
        }
    }

    pub(in crate::bus) fn stream(&self, config: &StreamConfig) -> Result<Stream, StreamError> {
        declared::stream(config)?;
        let name = || config.name.clone();
        let mut streams = write(&self.0.streams);
        if let Some(kept) = streams
            .iter()
            .find(|kept| kept.config().name == config.name)
        {
            return match super::declared::difference(kept.config(), config) {
                None => Ok(Stream::new(self.clone(), self.lease(kept))),
                Some(difference) => Err(StreamError::Differs { name: name(), difference }),
            };
        }
        for other in streams.iter().map(|kept| kept.config()) {
            let taken = |subject: &&String| other.subjects.iter().any(|at| overlap(at, subject));
            if let Some(subject) = config.subjects.iter().find(taken) {
                let (subject, other) = (subject.clone(), other.name.clone());
                return Err(StreamError::Overlaps { name: name(), subject, other });
            }
        }
        let kept = self.keep(config, &streams).map_err(|broken| {
            let reason = broken.0.as_ref().into();
            StreamError::Unavailable { name: name(), reason }
        })?;
        streams.push(Arc::clone(&kept));
        drop(streams);
        Ok(Stream::new(self.clone(), self.lease(&kept)))
    }

    fn lease(&self, kept: &Arc<Kept>) -> Lease {
        Lease::new(Arc::clone(kept), self.0.keeper.clone())
    }

    /// Makes a stream where it belongs.
    fn keep(&self, config: &StreamConfig, others: &[Arc<Kept>]) -> Result<Arc<Kept>, Broken> {
        match &self.0.keeper {
            Some(keeper) if !config.memory => {
                let last = others.iter().filter_map(|kept| kept.number()).max();
                let number = last.map_or(1, |last| last + 1);
                Kept::stored((config.clone(), self.0.clock), keeper.disk_shared(), number)
            }
            _ => Ok(Kept::in_memory(config.clone(), self.0.clock)),
        }
    }

    pub(in crate::bus) fn has_stream(&self, name: &str) -> bool {
        read(&self.0.streams)
            .iter()
            .any(|kept| kept.config().name == name)
    }

    pub(in crate::bus) fn compare(&self, config: &StreamConfig) -> Result<Presence, StreamError> {
        declared::stream(config)?;
        Ok(self.named(&config.name).map_or(Presence::Missing, |kept| {
            Presence::of(super::declared::difference(kept.config(), config))
        }))
    }

    pub(in crate::bus) fn compare_consumer(
        &self,
        stream: &StreamConfig,
        config: &ConsumerConfig,
    ) -> Result<Presence, ConsumerError> {
        declared::consumer(config, stream)?;
        let kept = self.named(&stream.name);
        Ok(kept.map_or(Presence::Missing, |kept| kept.compare(config)))
    }

    fn named(&self, name: &str) -> Option<Arc<Kept>> {
        read(&self.0.streams)
            .iter()
            .find(|kept| kept.config().name == name)
            .cloned()
    }

    pub(in crate::bus) fn streams(&self) -> Vec<StreamInfo> {
        let streams = read(&self.0.streams);
        streams.iter().map(|kept| kept.info()).collect()
    }

    /// Returns the message of a sequence.
    pub(in crate::bus) fn message(
        &self,
        stream: &str,
        sequence: u64,
    ) -> Result<Option<Stored>, ReadError> {
        let kept = self.existing(stream)?;
        let found = kept.one(sequence);
        let found = found.map_err(|error| unavailable(stream, error.to_string()))?;
        Ok(found.map(Record::give))
    }

    /// Deletes the message of a sequence from a stream that allows it; says whether it was there.
    pub(in crate::bus) async fn delete(
        &self,
        stream: &str,
        sequence: u64,
    ) -> Result<bool, ReadError> {
        let kept = self.existing(stream)?;
        if kept.config().immutable {
            return Err(unavailable(stream, "message delete not permitted".into()));
        }
        let deleted = kept.delete(sequence).await;
        deleted.map_err(|broken| unavailable(stream, broken.0.as_ref().into()))
    }

    fn existing(&self, stream: &str) -> Result<Arc<Kept>, ReadError> {
        let missing = || ReadError::NoStream { stream: stream.into() };
        self.named(stream).ok_or_else(missing)
    }

    #[cfg(feature = "test-util")]
    pub(in crate::bus) fn unsettled(&self) -> usize {
        let streams = read(&self.0.streams);
        let stored: usize = streams.iter().map(|kept| kept.unsettled()).sum();
        drop(streams);
        stored + self.0.inboxes.len()
    }

    /// Checks that a message can be sent at all.
    pub(super) fn check(message: &Message) -> Result<(), SendError> {
        let subject = || message.subject.clone();
        if !is_subject(&message.subject) {
            return Err(SendError::Subject { subject: subject() });
        }
        let beyond = message.subject.len().saturating_sub(USUAL_SUBJECT);
        let bytes = beyond + size(&message.headers, &message.payload);
        if bytes > LARGEST {
            return Err(SendError::TooLarge { subject: subject(), bytes, limit: LARGEST });
        }
        Ok(())
    }

    /// Stores a message, then gives it to those who listen to it, stored or
    /// not; returns whether somebody does.
    pub(super) async fn store(
        &self,
        kept: &Kept,
        message: Message,
        expect: Expect,
    ) -> (Result<Outcome, Broken>, bool) {
        let room = kept.room(&message).await;
        let heard = read(&self.0.routes)
            .any(&message.subject)
            .then(|| message.clone());
        let ticket = kept.append(message, expect, room);
        let reached = heard.is_some_and(|message| self.hand(message));
        (ticket.outcome().await, reached)
    }

    /// Stores a message where a stream captures it, gives it to all who listen,
    /// and returns whether there was a stream or somebody.
    async fn publish(&self, message: Message) -> bool {
        let Some(kept) = self.keeper(&message.subject) else {
            return self.hand(message);
        };
        let expected = message.headers.get(EXPECTED).and_then(|n| n.parse().ok());
        let expect = expected.map_or(Expect::Any, Expect::Last);
        let reply = message.reply.clone().filter(|reply| is_subject(reply));
        let answer = match Schedule::of(&message, kept.config()) {
            Ok(_) => {
                let (outcome, _) = self.store(&kept, message, expect).await;
                pub_ack(&kept.config().name, outcome)
            }
            Err(refused) => unscheduled(&kept.config().name, &refused),
        };
        if let Some(reply) = reply {
            self.hand(Message::new(reply, answer));
        }
        true
    }

    /// Gives a message to the request that waits for it and to all who listen.
    fn hand(&self, message: Message) -> bool {
        self.0.inboxes.offer(&message);
        read(&self.0.routes).deliver(message)
    }

    fn keeper(&self, subject: &str) -> Option<Arc<Kept>> {
        read(&self.0.streams)
            .iter()
            .find(|kept| kept.captures(subject))
            .cloned()
    }
}

fn unavailable(stream: &str, reason: String) -> ReadError {
    ReadError::Unavailable { stream: stream.into(), reason }
}

impl fmt::Debug for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broker")
            .field("streams", &read(&self.0.streams).len())
            .field("requests", &self.0.inboxes.len())
            .finish_non_exhaustive()
    }
}
