use crate::{
    bus::{Delivery, Stored},
    message::{Envelope, Origin, batch},
};
use bytes::Bytes;
use std::time::Duration;
use tokio::time::Instant;

/// A message on its way through the actor, event by event.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) source: Source,
    /// Which of its events is at hand.
    pub(super) at: usize,
    /// What the operator put in the place of that event's payload.
    pub(super) amended: Option<Bytes>,
    pub(super) attempt: u32,
    /// When it is tried again, if it failed.
    pub(super) due: Option<Instant>,
    /// How it ends, if that could not be written down yet.
    pub(super) end: Option<End>,
    pub(super) running: bool,
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
    /// It waited behind a parked event, and was read from the stream.
    Drained(Stored),
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

impl Held {
    pub(super) const fn new(source: Source, attempt: u32) -> Self {
        Self {
            source,
            at: 0,
            amended: None,
            attempt,
            due: None,
            end: None,
            running: false,
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
            Source::Drained(stored) | Source::Letter(_, stored) => stored,
        }
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
        self.attempt = 1;
        self.amended = None;
        self.due = None;
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

/// Returns the key's token of a stored event.
pub(super) fn key_of(stored: &Stored) -> &str {
    stored.subject.rsplit('.').next().unwrap_or_default()
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
