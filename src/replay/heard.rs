use crate::{
    bus::Stored,
    call::CallError,
    message::{Command, Envelope, Event, Key, Park, Refused, Reply, Subject, codec, headers},
    saga::SagaStatus,
    supervision::Tree,
};
use bytes::Bytes;
use std::{any::Any, borrow::Cow, collections::BTreeMap, time::SystemTime};

/// All that was said during a replay, as plain vectors.
#[derive(Debug)]
pub struct Heard {
    pub(super) events: Vec<Envelope>,
    pub(super) commands: Vec<(Cow<'static, str>, Bytes)>,
    pub(super) jobs: Vec<(Subject, Bytes, SystemTime)>,
    pub(super) answers: Vec<Box<dyn Any + Send>>,
    pub(super) dead: Vec<DeadLetter>,
    pub(super) parked: Vec<ParkedKey>,
    pub(super) sagas: BTreeMap<String, Vec<SagaStatus>>,
    pub(super) places: u64,
    pub(super) tree: Tree,
}

/// An event or a job that was given up.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeadLetter {
    /// The event's type, or the command of a job; empty if it had none.
    pub kind: String,
    /// Why it was given up.
    pub reason: String,
    /// How often it was tried.
    pub attempts: u32,
}

/// A key that could not go on; its later events wait.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ParkedKey {
    /// The path of the actor that could not go on.
    pub child: String,
    /// The key.
    pub key: String,
    /// The type of the event that could not be handled.
    pub kind: String,
    /// Why it could not.
    pub reason: String,
    /// How often it was tried.
    pub attempts: u32,
}

type Answered<C> = Result<Reply<C>, CallError<Refused<C>>>;

impl Heard {
    /// Returns the events of a type that the groups published, in order.
    ///
    /// # Panics
    ///
    /// Panics if one of them does not decode as `E`.
    pub fn events<E: Event>(&self) -> Vec<E> {
        let kind = E::SUBJECT.as_str();
        self.events
            .iter()
            .filter(|envelope| envelope.kind == kind)
            .map(|envelope| envelope.event().expect("an event decodes as its type"))
            .collect()
    }

    /// Returns the types of all events that the groups published, in the order
    /// they were stored in each domain.
    pub fn kinds(&self) -> Vec<&str> {
        self.events
            .iter()
            .map(|envelope| envelope.kind.as_str())
            .collect()
    }

    /// Returns all events that the groups published, in the order they were
    /// stored in each domain.
    pub fn envelopes(&self) -> &[Envelope] {
        &self.events
    }

    /// Returns how many places there were at which the runner of a saga could
    /// [die](super::Replay::crash_at).
    pub const fn places(&self) -> u64 {
        self.places
    }

    /// Returns the commands of a type that actors sent, in order; attempts count.
    ///
    /// # Panics
    ///
    /// Panics if one of them does not decode as `C`.
    pub fn commands<C: Command>(&self) -> Vec<C> {
        self.commands
            .iter()
            .filter(|(subject, _)| subject == C::SUBJECT.as_str())
            .map(|(_, payload)| codec::decode(payload).expect("a command decodes as its type"))
            .collect()
    }

    /// Returns the commands of a type that actors sent as jobs, and when they
    /// were due, in the order they were sent; attempts count.
    ///
    /// The clock of a replay starts at 2026-01-01T00:00:00Z.
    ///
    /// # Panics
    ///
    /// Panics if one of them does not decode as `C`.
    pub fn jobs<C: Command>(&self) -> Vec<(C, SystemTime)> {
        self.jobs
            .iter()
            .filter(|(subject, ..)| *subject == C::SUBJECT)
            .map(|(_, payload, due)| {
                let command = codec::decode(payload).expect("a command decodes as its type");
                (command, *due)
            })
            .collect()
    }

    /// Takes the answers to the commands of a type that were asked, in order.
    pub fn answers<C: Command>(&mut self) -> Vec<Answered<C>> {
        let (own, others) = std::mem::take(&mut self.answers)
            .into_iter()
            .partition(|answer: &Box<dyn Any + Send>| answer.is::<Asked<C>>());
        self.answers = others;
        let own: Vec<Box<dyn Any + Send>> = own;
        own.into_iter()
            .filter_map(|answer| answer.downcast::<Asked<C>>().ok())
            .map(|asked| asked.0)
            .collect()
    }

    /// Returns the events that were given up.
    pub fn dead_letters(&self) -> &[DeadLetter] {
        &self.dead
    }

    /// Returns the keys that were parked, in order.
    pub fn parked(&self) -> &[ParkedKey] {
        &self.parked
    }

    /// Returns how the sagas of a name stand at the end, in the order in which they
    /// began: how each ended, or why it is parked, and its steps.
    pub fn sagas(&self, name: &str) -> &[SagaStatus] {
        self.sagas.get(name).map_or(&[], Vec::as_slice)
    }

    /// Returns the supervision tree at the end, with its restarts.
    pub const fn tree(&self) -> &Tree {
        &self.tree
    }
}

/// The answer to one command, told from those of other types.
pub(super) struct Asked<C: Command>(pub(super) Answered<C>);

impl ParkedKey {
    pub(super) fn of(park: &Park) -> Self {
        let key = Key::from_token(&park.key);
        Self {
            child: park.child.clone(),
            key: key.map_or_else(|_| park.key.clone(), |key| key.decode()),
            kind: park.kind.clone(),
            reason: park.reason.clone(),
            attempts: park.attempts,
        }
    }
}

impl DeadLetter {
    pub(super) fn of(stored: &Stored) -> Self {
        let header = |name| stored.headers.get(name).unwrap_or_default();
        Self {
            kind: stored.headers.get(headers::CE_TYPE).map_or_else(
                || command_of(header(headers::CB_DEAD_SUBJECT)),
                str::to_owned,
            ),
            reason: header(headers::CB_DEAD_REASON).to_owned(),
            attempts: header(headers::CB_DEAD_ATTEMPTS)
                .parse()
                .unwrap_or_default(),
        }
    }
}

/// Returns the command in the subject of a job.
fn command_of(subject: &str) -> String {
    match subject.split('.').collect::<Vec<_>>()[..] {
        [_, "job", domain, name, _] => format!("{domain}.{name}"),
        _ => String::new(),
    }
}
