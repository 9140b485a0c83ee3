pub(super) use crate::actor::failover::key_of;
use crate::{
    bus::{Delivery, Stored},
    message::{Envelope, Origin, batch},
};
use bytes::Bytes;
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

/// How long streams know the ids of what they store for sure: less than the
/// two minutes that they are asked for.
const KNOWN: Duration = Duration::from_secs(30);

/// By how much the clocks of two streams may differ.
const SKEW: Duration = Duration::from_mins(1);

/// A message on its way through the actor, event by event.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub(super) struct Held {
    pub(super) source: Source,
    /// Which of its events is at hand.
    pub(super) at: usize,
    /// What the operator put in the place of that event's payload.
    pub(super) amended: Option<Bytes>,
    /// Which attempt of this reader it is: so many does it get.
    pub(super) attempt: u32,
    /// How often it was delivered before, which may have been attempts elsewhere.
    before: u32,
    /// When it is tried again, if it failed.
    pub(super) due: Option<Instant>,
    /// How it ends, if that could not be written down yet.
    pub(super) end: Option<End>,
    pub(super) running: bool,
    /// Whether it was handed out before, which need not have used up an attempt.
    pub(super) tried: bool,
    /// Whether what becomes of it is being written down.
    pub(super) writing: bool,
    /// Whether it is left to another reader, which is being noted.
    pub(super) left: bool,
    /// Whether it waits until it is known who has its key.
    pub(super) waits: bool,
    /// Why it failed last.
    pub(super) why: Option<String>,
    /// How many events it has, once that is known.
    count: Option<usize>,
    /// Its events, if it has several.
    events: Vec<Envelope>,
}

/// Where a message came from.
#[derive(Debug)]
pub(super) enum Source {
    /// The consumer delivered it.
    Live(Delivery),
    /// It waited behind a parked event, and was read from the stream by a drain.
    Drained(Stored, u64),
    /// It is handled again because of a dead letter, by its number.
    Letter(u64, Stored),
}

/// How an event ends that cannot be handled.
#[derive(Clone, Debug)]
pub(super) enum End {
    /// As a dead letter, alone or with all events of its message.
    Dead { reason: String, whole: bool },
    /// Its key is parked.
    Parked { reason: String },
}

impl Source {
    /// Returns the delivery, if the consumer delivered it.
    pub(super) fn delivery(self) -> Option<Delivery> {
        match self {
            Self::Live(delivery) => Some(delivery),
            Self::Drained(..) | Self::Letter(..) => None,
        }
    }
}

impl Held {
    pub(super) fn new(source: Source) -> Self {
        let before = match &source {
            Source::Live(delivery) => delivery.attempt.saturating_sub(1),
            Source::Drained(..) | Source::Letter(..) => 0,
        };
        Self {
            source,
            before,
            at: 0,
            amended: None,
            attempt: 1,
            due: None,
            end: None,
            running: false,
            tried: false,
            writing: false,
            left: false,
            waits: false,
            why: None,
            count: None,
            events: Vec::new(),
        }
    }

    /// Begins at one of its events, with another payload if there is one.
    pub(super) fn from(mut self, at: u32, amended: Option<Bytes>) -> Self {
        self.at = at as usize;
        self.amended = amended;
        self
    }

    pub(super) const fn stored(&self) -> &Stored {
        match &self.source {
            Source::Live(delivery) => &delivery.message,
            Source::Drained(stored, _) | Source::Letter(_, stored) => stored,
        }
    }

    /// Returns the delivery, if the consumer delivered it.
    pub(super) const fn delivery(&self) -> Option<&Delivery> {
        match &self.source {
            Source::Live(delivery) => Some(delivery),
            Source::Drained(..) | Source::Letter(..) => None,
        }
    }

    /// Returns the drain that read it, if one did.
    pub(super) const fn drain(&self) -> Option<u64> {
        match &self.source {
            Source::Drained(_, number) => Some(*number),
            Source::Live(_) | Source::Letter(..) => None,
        }
    }

    /// Returns which attempt it is for its handler.
    pub(super) const fn told(&self) -> u32 {
        self.before.saturating_add(self.attempt)
    }

    /// Whether it failed and is to be tried again.
    pub(super) const fn fails(&self) -> bool {
        let at_rest = !self.running && !self.writing && self.end.is_none();
        at_rest && self.due.is_some() && self.why.is_some()
    }

    /// Whether it may have been handled before, here or elsewhere.
    pub(super) const fn is_repeated(&self) -> bool {
        match &self.source {
            Source::Live(delivery) => self.tried || delivery.attempt > 1,
            Source::Drained(..) | Source::Letter(..) => true,
        }
    }

    /// Since when what follows from it may be there, if it may have been handled
    /// before. What was stored a moment ago is left to the streams, which know
    /// the ids of the last two minutes.
    pub(super) fn again(&self, now: SystemTime) -> Option<SystemTime> {
        let stored = self.stored().time;
        // By a clock that is behind, it was stored in the future.
        let young = now.duration_since(stored).is_ok_and(|age| age < KNOWN);
        let again = self.is_repeated() && !(young && self.delivery().is_some());
        again.then(|| stored.checked_sub(SKEW).unwrap_or(stored))
    }

    /// Returns the key's token.
    pub(super) fn key(&self) -> &str {
        key_of(self.stored())
    }

    /// Lets it wait before it is tried again; returns when that is.
    pub(super) fn put_off(&mut self, wait: Duration) -> Instant {
        let due = Instant::now() + wait;
        self.due = Some(due);
        due
    }

    /// Goes on to its next event.
    pub(super) fn next(&mut self) {
        if matches!(self.source, Source::Letter(..)) {
            self.count = Some(0);
        }
        self.at += 1;
        (self.attempt, self.tried) = (1, false);
        self.before = 0;
        self.amended = None;
        self.due = None;
        self.why = None;
    }

    /// Passes over all that is left.
    pub(super) const fn pass_over(&mut self) {
        self.count = Some(0);
    }

    /// Returns the event at hand; nothing if all are done.
    pub(super) fn event(&mut self, stream: &str) -> Result<Option<Envelope>, String> {
        if self.count.is_some_and(|count| self.at >= count) {
            return Ok(None);
        }
        let mut only = None;
        if self.events.is_empty() {
            let mut events = unpack(self.stored(), stream)?;
            self.count = Some(events.len());
            if events.len() == 1 {
                only = events.pop().filter(|_| self.at == 0);
            } else {
                self.events = events;
            }
        }
        let event = only.or_else(|| self.events.get(self.at).cloned());
        Ok(event.map(|event| match &self.amended {
            Some(payload) => Envelope { payload: payload.clone(), ..event },
            None => event,
        }))
    }
}

fn unpack(stored: &Stored, stream: &str) -> Result<Vec<Envelope>, String> {
    let origin = Origin {
        stream,
        sequence: stored.sequence,
        subject: &stored.subject,
        time: stored.time,
    };
    batch::read(&stored.headers, origin, stored.payload.clone())
        .map_err(|error| format!("{} #{} {error}", stored.subject, stored.sequence))
}

pub(super) async fn acknowledge(delivery: Delivery) {
    if let Err(error) = delivery.ack().await {
        tracing::warn!(%error, "an event will come again");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        bus::{Bus, ConsumerConfig, Expect, Message, StreamConfig},
        message::{Headers, headers::MSG_ID},
    };

    async fn delivered() -> Delivery {
        let bus = Bus::embedded();
        let config = StreamConfig::new("S", ["s.*".to_owned()]);
        let stream = bus.stream(&config).await.expect("it is sound");
        let mut headers = Headers::new();
        headers.put(MSG_ID, "1");
        let message = Message::new("s.a", "").headers(headers);
        let appended = stream.append(message, Expect::Any).await;
        appended.expect("there is room");
        let consumer = stream.consumer(&ConsumerConfig::new("c")).await;
        let mut consumer = consumer.expect("it is sound");
        consumer.next().await.expect("one is there")
    }

    #[tokio::test]
    async fn what_follows_is_looked_up_when_the_streams_may_have_forgotten_the_ids() {
        let mut held = Held::new(Source::Live(delivered().await));
        let stored = held.stored().time;
        let (soon, late) = (stored + KNOWN / 2, stored + KNOWN);
        let behind = stored - Duration::from_mins(5);
        for now in [soon, late, behind] {
            assert_eq!(held.again(now), None, "nothing of it is there");
        }
        let since = Some(stored - SKEW);
        held.tried = true;
        assert_eq!((held.again(soon), held.again(late)), (None, since));
        assert_eq!(held.again(behind), since, "a clock that is behind");
        held.next();
        assert_eq!(held.again(late), None, "the next was not handled yet");
    }
}
