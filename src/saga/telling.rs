//! Steps that nobody answers: jobs and events.

use super::{
    Abort,
    book::State,
    page::{Act, Move, Order},
    step::Step,
    trip::{Stop, Trip},
};
use crate::{
    call::{Job, JobError, Publish, PublishError},
    message::{Command, Event, codec},
};
use bytes::Bytes;
use futures_util::future::LocalBoxFuture;
use serde::{Serialize, de::DeserializeOwned};
use std::{borrow::Cow, fmt, future::IntoFuture, rc::Rc};
use tracing::Instrument;

/// A command about to be sent as a job by a saga; awaiting it returns once it is
/// stored. After a crash it may be sent again, under the same id.
#[must_use = "a step is taken when awaited"]
pub struct SendStep<C> {
    trip: Rc<Trip>,
    command: C,
    name: Option<Cow<'static, str>>,
}

/// An event about to be published by a saga; awaiting it returns once it is
/// stored. After a crash it may be published again, under the same id, which its
/// stream recognises for two minutes.
#[must_use = "a step is taken when awaited"]
pub struct PublishStep<E> {
    trip: Rc<Trip>,
    event: E,
    name: Option<Cow<'static, str>>,
}

/// How sending ended, if not well.
enum Trouble {
    /// It will never be sent.
    Never(String),
    Again(String),
}

impl<C: Command> SendStep<C> {
    pub(super) const fn new(trip: Rc<Trip>, command: C) -> Self {
        Self { trip, command, name: None }
    }

    /// Names the step; the command's subject by default.
    pub fn named(mut self, name: impl Into<Cow<'static, str>>) -> Self {
        self.name = Some(name.into());
        self
    }

    async fn take(self, step: Step) {
        let Self { trip, command, .. } = self;
        let act = Order::of(&command).map(Act::Send);
        let send = async |payload: Bytes| {
            let command: C = trip.read(&step.name, &payload).await;
            let job = Job::new(trip.client(), command, Some(&trip.cause));
            match job.id(trip.step_id(&step.name)).await {
                Ok(_) => Ok(()),
                Err(error @ (JobError::Unknown { .. } | JobError::Stream { .. })) => {
                    Err(Trouble::Again(error.to_string()))
                }
                Err(error) => Err(Trouble::Never(error.to_string())),
            }
        };
        tell::<C>(&trip, &step, act, send).await;
    }
}

impl<E: Event> PublishStep<E> {
    pub(super) const fn new(trip: Rc<Trip>, event: E) -> Self {
        Self { trip, event, name: None }
    }

    /// Names the step; the event's subject by default.
    pub fn named(mut self, name: impl Into<Cow<'static, str>>) -> Self {
        self.name = Some(name.into());
        self
    }

    async fn take(self, step: Step) {
        let Self { trip, event, .. } = self;
        let subject = E::SUBJECT.to_string();
        let act = codec::encode(&event).map(|payload| Act::Publish { subject, payload });
        let send = async |payload: Bytes| {
            let event: E = trip.read(&step.name, &payload).await;
            let publish = Publish::new(trip.client(), event, Some(&trip.cause));
            match publish.id(trip.step_id(&step.name)).await {
                Ok(_) => Ok(()),
                Err(error @ (PublishError::Unknown { .. } | PublishError::Stream { .. })) => {
                    Err(Trouble::Again(error.to_string()))
                }
                Err(error) => Err(Trouble::Never(error.to_string())),
            }
        };
        tell::<E>(&trip, &step, act, send).await;
    }
}

/// Takes a step that is over once something is stored.
async fn tell<T: Serialize + DeserializeOwned>(
    trip: &Rc<Trip>,
    step: &Step,
    act: Result<Act, codec::EncodeError>,
    send: impl AsyncFn(Bytes) -> Result<(), Trouble>,
) {
    let _active = trip.active();
    let name = &step.name;
    let act = match act {
        Ok(act) => act,
        Err(error) => return trip.unreadable(name, error).await,
    };
    let act = match trip.known(name) {
        None => {
            trip.intend(name, act.clone(), None).await;
            act
        }
        Some(entry) if entry.act.kind() != act.kind() => {
            return trip.another(&entry, act.kind()).await;
        }
        Some(entry) => {
            trip.compare::<T>(name, &entry.act, &act).await;
            match entry.state {
                State::Intended | State::Settled { .. } => entry.act,
                State::Failed { reason, .. } => {
                    match trip.halt(Stop::Aborted(Abort::new(reason))).await {}
                }
                State::Done { .. } | State::Undone { .. } => return,
            }
        }
    };
    let (Act::Send(Order { payload, .. }) | Act::Publish { payload, .. }) = act else {
        return;
    };
    let attempts = until_stored(trip, name, payload, send).await;
    trip.count(step, "done");
    let (step, reply) = (name.clone(), Bytes::new());
    trip.push(Move::Done { step, reply, undo: None, attempts });
}

/// Sends until that is stored, or the operator says so; returns how many attempts
/// that took.
async fn until_stored(
    trip: &Rc<Trip>,
    name: &str,
    payload: Bytes,
    send: impl AsyncFn(Bytes) -> Result<(), Trouble>,
) -> u32 {
    let (mut attempts, again) = trip.tried(name);
    trip.rest(again).await;
    loop {
        match trip.known(name).map(|entry| entry.state) {
            Some(State::Settled { .. }) => return attempts,
            Some(State::Failed { reason, .. }) => {
                match trip.halt(Stop::Aborted(Abort::new(reason))).await {}
            }
            _ => {}
        }
        attempts += 1;
        trip.clear().await;
        let attempt = send(payload.clone()).instrument(trip.span(name, attempts));
        match attempt.await {
            Ok(()) => return attempts,
            Err(Trouble::Never(trouble)) => {
                let reason = format!("`{name}` could not be sent: {trouble}");
                match trip.halt(Stop::Parked(reason)).await {}
            }
            Err(Trouble::Again(trouble)) => {
                let wait = trip.plan.retry.unending(attempts, fastrand::f64());
                trip.put_off(name, attempts, &trouble, wait).await;
            }
        }
    }
}

impl<C: Command> IntoFuture for SendStep<C> {
    type Output = ();
    type IntoFuture = LocalBoxFuture<'static, ()>;

    fn into_future(self) -> Self::IntoFuture {
        let step = self.trip.next(self.name.as_ref(), C::SUBJECT.as_str());
        Box::pin(self.take(step))
    }
}

impl<E: Event> IntoFuture for PublishStep<E> {
    type Output = ();
    type IntoFuture = LocalBoxFuture<'static, ()>;

    fn into_future(self) -> Self::IntoFuture {
        let step = self.trip.next(self.name.as_ref(), E::SUBJECT.as_str());
        Box::pin(self.take(step))
    }
}

impl<C: Command> fmt::Debug for SendStep<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SendStep({})", C::SUBJECT)
    }
}

impl<E: Event> fmt::Debug for PublishStep<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublishStep({})", E::SUBJECT)
    }
}
