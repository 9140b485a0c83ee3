//! A step that calls a command, and settles what came of it.

use super::{
    Abort,
    book::{Entry, State},
    page::{Act, Move, Order},
    step::Step,
    trip::{Stop, Trip},
};
use crate::{
    actor::Retry,
    call::{Call, CallError},
    message::{Command, Refused, Reply, codec},
    telemetry::SAGA_ATTEMPTS_TOTAL,
};
use bytes::Bytes;
use futures_util::future::LocalBoxFuture;
use serde::de::DeserializeOwned;
use std::{borrow::Cow, fmt, future::IntoFuture, rc::Rc, time::Duration};
use tokio::time::sleep;
use tracing::Instrument;

/// A command about to be called by a saga; awaiting it returns the reply, or
/// the domain's "no".
///
/// Trouble is not returned: the command is called again under the same id, as
/// [`retry`](Self::retry) says, until its outcome is known. If it certainly was
/// never run, the saga aborts then, or is parked after its
/// [pivot](super::Steps::pivot); if it may have been run, the saga is parked.
/// So what it calls must know an id that it has seen: entities do.
#[must_use = "a step is taken when awaited"]
pub struct CallStep<C: Command> {
    trip: Rc<Trip>,
    command: C,
    name: Option<Cow<'static, str>>,
    undo: Option<Undo<C>>,
    timeout: Duration,
    retry: Retry,
}

type Undo<C> = Box<dyn FnOnce(&Reply<C>) -> Result<Order, codec::EncodeError>>;

impl<C: Command> CallStep<C> {
    pub(super) fn new(trip: Rc<Trip>, command: C) -> Self {
        let (timeout, retry) = (trip.plan.timeout, trip.plan.retry);
        Self { trip, command, name: None, undo: None, timeout, retry }
    }

    /// Says what undoes it: a command made of the reply, at the moment it is
    /// there, and stored with it.
    pub fn undo<U: Command>(mut self, undo: impl FnOnce(&Reply<C>) -> U + 'static) -> Self {
        self.undo = Some(Box::new(|reply| Order::of(&undo(reply))));
        self
    }

    /// Names the step; the command's subject by default.
    pub fn named(mut self, name: impl Into<Cow<'static, str>>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Sets how long one attempt waits for the reply.
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets how it is tried again.
    pub const fn retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    async fn take(self, step: Step) -> Result<Reply<C>, Refused<C>> {
        let trip = Rc::clone(&self.trip);
        let _active = trip.active();
        let Some(entry) = trip.known(&step.name) else {
            let order = match Order::of(&self.command) {
                Ok(order) => order,
                Err(error) => return trip.unreadable(&step.name, error).await,
            };
            trip.intend(&step.name, Act::Call(order.clone())).await;
            let Self { command, undo, timeout, retry, .. } = self;
            let asking = Asking { trip, step, payload: order.payload, timeout, retry };
            return asking.settle(Some(command), undo).await;
        };
        let Act::Call(Order { payload, .. }) = entry.act else {
            return trip.another(&entry, "call").await;
        };
        match entry.state {
            State::Intended => {
                let Self { undo, timeout, retry, .. } = self;
                let asking = Asking { trip, step, payload, timeout, retry };
                asking.settle::<C>(None, undo).await
            }
            State::Done { reply, .. } => Ok(trip.read(&step.name, &reply).await),
            State::Failed { rejection: Some(rejection), .. } => {
                Err(trip.read(&step.name, &rejection).await)
            }
            State::Failed { rejection: None, reason } => {
                match trip.halt(Stop::Aborted(Abort::new(reason))).await {}
            }
            State::Undone { .. } => trip.unreadable(&step.name, "was undone").await,
        }
    }
}

/// One command that is called until its outcome is known.
struct Asking {
    trip: Rc<Trip>,
    step: Step,
    payload: Bytes,
    timeout: Duration,
    retry: Retry,
}

impl Asking {
    /// Calls until the outcome is known. Without the command in hand it was
    /// intended by an earlier run, which may have called it.
    async fn settle<C: Command>(
        self,
        mut first: Option<C>,
        undo: Option<Undo<C>>,
    ) -> Result<Reply<C>, Refused<C>> {
        let trip = Rc::clone(&self.trip);
        let mut maybe_run = first.is_none();
        let mut attempts = 0;
        loop {
            let command = match first.take() {
                Some(command) => command,
                None => trip.read(&self.step.name, &self.payload).await,
            };
            attempts += 1;
            let span = trip.span(&self.step.name, attempts);
            let outcome = self.attempt(command, attempts).instrument(span).await;
            self.count(outcome.as_ref().err());
            let trouble = match outcome {
                Ok(reply) => return self.done::<C>(reply, undo, attempts).await,
                Err(CallError::Rejected(rejection)) => {
                    return self.rejected::<C>(rejection, attempts).await;
                }
                Err(trouble) => trouble,
            };
            maybe_run |= !trouble.certainly_not_run();
            self.wait(&trouble.to_string(), maybe_run, attempts).await;
        }
    }

    fn count<R>(&self, error: Option<&CallError<R>>) {
        let outcome = match error {
            None => "done",
            Some(CallError::Rejected(_)) => "refused",
            Some(_) => "trouble",
        };
        let saga = self.trip.plan.name;
        metrics::counter!(SAGA_ATTEMPTS_TOTAL, "saga" => saga, "kind" => "call", "outcome" => outcome)
            .increment(1);
    }

    async fn attempt<C: Command>(
        &self,
        command: C,
        number: u32,
    ) -> Result<Reply<C>, CallError<Refused<C>>> {
        let Self { trip, step, timeout, .. } = self;
        trip.clear().await;
        Call::new(trip.client(), command, Some(&trip.cause))
            .id(trip.step_id(&step.name))
            .timeout(*timeout)
            .firsthand(number)
            .await
    }

    async fn done<C: Command>(
        &self,
        reply: Reply<C>,
        undo: Option<Undo<C>>,
        attempts: u32,
    ) -> Result<Reply<C>, Refused<C>> {
        let Self { trip, step, .. } = self;
        let encoded = codec::encode(&reply);
        let undo = undo.map(|undo| undo(&reply)).transpose();
        match (encoded, undo) {
            (Ok(encoded), Ok(undo)) => {
                trip.count(step, "done");
                let step = step.name.clone();
                trip.push(Move::Done { step, reply: encoded, undo, attempts });
                Ok(reply)
            }
            (Err(error), _) | (_, Err(error)) => trip.unreadable(&step.name, error).await,
        }
    }

    async fn rejected<C: Command>(
        &self,
        rejection: Refused<C>,
        attempts: u32,
    ) -> Result<Reply<C>, Refused<C>> {
        let Self { trip, step, .. } = self;
        match codec::encode(&rejection) {
            Ok(encoded) => {
                let reason = rejection.to_string();
                trip.count(step, "refused");
                trip.fail(&step.name, Some(encoded), reason, attempts);
                Err(rejection)
            }
            Err(error) => trip.unreadable(&step.name, error).await,
        }
    }

    /// Waits for the next attempt, if there is one.
    async fn wait(&self, trouble: &str, maybe_run: bool, attempts: u32) {
        let Self { trip, step: Step { name: step, .. }, retry, .. } = self;
        let next = retry.after(attempts, fastrand::f64());
        if !maybe_run && (trip.is_closing() || (next.is_none() && !trip.has_pivoted())) {
            let reason = format!("`{step}` could not be called: {trouble}");
            trip.count(&self.step, "failed");
            trip.fail(step, None, reason.clone(), attempts);
            match trip.halt(Stop::Aborted(Abort::new(reason))).await {}
        }
        if let Some(wait) = next {
            let (saga, id) = (trip.plan.name, &trip.id);
            tracing::debug!(saga, %id, step, trouble, "a step is tried again");
            return sleep(wait).await;
        }
        let reason = if maybe_run {
            format!("whether `{step}` was done is not known after {attempts} attempts: {trouble}")
        } else {
            format!(
                "`{step}` could not be called {attempts} times, and there is no way back: {trouble}"
            )
        };
        match trip.halt(Stop::Parked(reason)).await {}
    }
}

impl Trip {
    /// Reads what the journal has of a step; parks the saga if it is of another shape.
    pub(super) async fn read<T: DeserializeOwned>(&self, step: &str, payload: &[u8]) -> T {
        match codec::decode(payload) {
            Ok(value) => value,
            Err(error) => self.unreadable(step, error).await,
        }
    }

    /// Parks the saga because of what a step has in its journal.
    pub(super) async fn unreadable<T>(&self, step: &str, error: impl fmt::Display) -> T {
        let reason = format!("what belongs to its step `{step}` {error}");
        match self.halt(Stop::Parked(reason)).await {}
    }

    /// Parks the saga because its step is of another kind in the journal.
    pub(super) async fn another<T>(&self, entry: &Entry, kind: &str) -> T {
        let (name, was) = (&entry.name, entry.act.kind());
        let reason =
            format!("its step `{name}` was a {was} when it was taken, and is a {kind} now");
        match self.halt(Stop::Parked(reason)).await {}
    }

    /// Notes that a step was certainly not taken.
    pub(super) fn fail(&self, step: &str, rejection: Option<Bytes>, reason: String, attempts: u32) {
        let step = step.to_owned();
        self.push(Move::Failed { step, rejection, reason, attempts });
    }
}

impl<C: Command> IntoFuture for CallStep<C> {
    type Output = Result<Reply<C>, Refused<C>>;
    type IntoFuture = LocalBoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        let step = self.trip.next(self.name.as_ref(), C::SUBJECT.as_str());
        Box::pin(self.take(step))
    }
}

impl<C: Command> fmt::Debug for CallStep<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CallStep({})", C::SUBJECT)
    }
}
