use crate::message::{Event, Key, KeyError, Subject, codec};
use bytes::Bytes;
use std::any::Any;

/// What an entity decided: events that happened now, and the reply.
///
/// The events of one decision are stored together or not at all. A handler
/// rarely writes one: an event, or an event and a reply, turn into a decision.
///
/// # Examples
///
/// ```
/// use callboard::{Decision, Event};
///
/// fn twice<E: Event>(first: E, second: E) -> Decision<u32> {
///     Decision::of(first).and(second).reply(2)
/// }
/// ```
#[derive(Debug)]
#[must_use = "a decision is what the handler returns"]
pub struct Decision<R> {
    pub(super) facts: Vec<Fact>,
    pub(super) reply: R,
}

impl Decision<()> {
    /// Decides that nothing happened.
    pub const fn nothing() -> Self {
        Self { facts: Vec::new(), reply: () }
    }

    /// Decides that an event happened.
    pub fn of<E: Event>(event: E) -> Self {
        Self::nothing().and(event)
    }

    /// Sets the reply.
    pub fn reply<R>(self, reply: R) -> Decision<R> {
        Decision { facts: self.facts, reply }
    }
}

impl<R> Decision<R> {
    /// Decides that another event happened, after the others.
    pub fn and<E: Event>(mut self, event: E) -> Self {
        self.facts.push(Fact::new(event));
        self
    }
}

impl<E: Event> From<E> for Decision<()> {
    fn from(event: E) -> Self {
        Self::of(event)
    }
}

impl<E: Event, R> From<(E, R)> for Decision<R> {
    fn from((event, reply): (E, R)) -> Self {
        Decision::of(event).reply(reply)
    }
}

/// One event of a decision, its type erased.
#[derive(Debug)]
pub(super) struct Fact {
    pub(super) subject: Subject,
    pub(super) version: u32,
    pub(super) key: Result<Key, KeyError>,
    pub(super) payload: Result<Bytes, codec::EncodeError>,
    pub(super) event: Box<dyn Any>,
}

impl Fact {
    fn new<E: Event>(event: E) -> Self {
        Self {
            subject: E::SUBJECT,
            version: E::VERSION,
            key: Key::new(&event.key()),
            payload: codec::encode(&event),
            event: Box::new(event),
        }
    }
}
