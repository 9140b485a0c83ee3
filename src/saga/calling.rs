//! A step that calls a command, and settles what came of it.

use super::{
    Abort,
    book::{Entry, State},
    page::{Act, Move, Order},
    step::Step,
    trip::{Stop, Trip},
    undoing::{Undone, ask},
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
/// Trouble is not returned: the command is called again under the same id. If it
/// certainly was never run, the saga aborts after as many attempts as
/// [`retry`](Self::retry) says. If it may have been run, or the saga is past its
/// [pivot](super::Steps::pivot), attempts do not end: up to five minutes lie
/// between two of them, and the saga leaves memory meanwhile.
///
/// What is called must know an id that it has seen, and what undoes it must do
/// nothing if there is nothing to undo: a "no" that follows an attempt of unknown
/// outcome is undone as a "yes" would be. Entities know ids.
#[must_use = "a step is taken when awaited"]
pub struct CallStep<C: Command> {
    trip: Rc<Trip>,
    command: C,
    name: Option<Cow<'static, str>>,
    undo: Option<Undo<C>>,
    anyway: Option<Result<Order, codec::EncodeError>>,
    timeout: Duration,
    retry: Retry,
}

type Undo<C> = Box<dyn FnOnce(&Reply<C>) -> Result<Order, codec::EncodeError>>;

impl<C: Command> CallStep<C> {
    pub(super) fn new(trip: Rc<Trip>, command: C) -> Self {
        let (timeout, retry) = (trip.plan.timeout, trip.plan.retry);
        Self { trip, command, name: None, undo: None, anyway: None, timeout, retry }
    }

    /// Says what undoes it: a command made of the reply, at the moment it is
    /// there, and stored with it.
    ///
    /// Without a reply it cannot be made, unless the reply is `()`: a "no" that
    /// follows an attempt of unknown outcome is then taken at its word, and a
    /// saga that is called off asks for the outcome until it knows it. Where the
    /// undo needs no reply, [`undo_anyway`](Self::undo_anyway) is the better one.
    pub fn undo<U: Command>(mut self, undo: impl FnOnce(&Reply<C>) -> U + 'static) -> Self {
        self.undo = Some(Box::new(|reply| Order::of(&undo(reply))));
        self
    }

    /// Says what undoes it, whatever its outcome is: the command is stored before
    /// the step is taken, and a saga that turns back calls it also if the outcome
    /// is not known. So it must do nothing if there is nothing to undo.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "as commands are passed anywhere"
    )]
    pub fn undo_anyway<U: Command>(mut self, undo: U) -> Self {
        self.anyway = Some(Order::of(&undo));
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

    /// Sets how it is tried again, and after how many attempts it counts as failed
    /// if it certainly was never run.
    pub const fn retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    async fn take(self, step: Step) -> Result<Reply<C>, Refused<C>> {
        let trip = Rc::clone(&self.trip);
        let _active = trip.active();
        let Self { command, undo, anyway, timeout, retry, .. } = self;
        let (order, anyway) = match (Order::of(&command), anyway.transpose()) {
            (Ok(order), Ok(anyway)) => (order, anyway),
            (Err(error), _) | (_, Err(error)) => return trip.unreadable(&step.name, error).await,
        };
        let payload = order.payload.clone();
        let now = Act::Call(order);
        let Some(entry) = trip.known(&step.name) else {
            trip.intend(&step.name, now, anyway.clone()).await;
            let asking = Asking { trip, step, payload, anyway, timeout, retry };
            return asking.settle(Some(command), undo).await;
        };
        let Act::Call(Order { payload, .. }) = &entry.act else {
            return trip.another(&entry, "call").await;
        };
        trip.compare::<C>(&step.name, &entry.act, &now).await;
        match entry.state {
            State::Intended | State::Settled { .. } => {
                let (payload, anyway) = (payload.clone(), entry.anyway);
                let asking = Asking { trip, step, payload, anyway, timeout, retry };
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
    /// What undoes it whatever its outcome is.
    anyway: Option<Order>,
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
        let (mut attempts, again) = trip.tried(&self.step.name);
        trip.rest(again).await;
        loop {
            if let Some(reply) = self.settled::<C>().await {
                return self.done::<C>(reply, undo, attempts).await;
            }
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
                    if let Some(reply) = self.settled::<C>().await {
                        return self.done::<C>(reply, undo, attempts).await;
                    }
                    if maybe_run {
                        self.take_back::<C>(undo, attempts).await;
                    }
                    return self.rejected::<C>(rejection, attempts).await;
                }
                Err(trouble) => trouble,
            };
            maybe_run |= !trouble.certainly_not_run();
            self.wait(&trouble.to_string(), maybe_run, attempts).await;
        }
    }

    /// Returns the reply that the operator says it had; ends the run if they say
    /// that it was not done.
    async fn settled<C: Command>(&self) -> Option<Reply<C>> {
        let Self { trip, step: Step { name, .. }, .. } = self;
        let state = {
            let book = trip.book.borrow();
            let state = &book.step(name)?.state;
            if matches!(state, State::Intended) {
                return None;
            }
            state.clone()
        };
        match state {
            State::Settled { reply } => match codec::decode(&reply) {
                Ok(reply) => Some(reply),
                Err(error) => {
                    let reason = format!(
                        "the reply that `{name}` was settled with {error}; settle it again with \
                         one that fits"
                    );
                    match trip.halt(Stop::Parked(reason)).await {}
                }
            },
            State::Failed { rejection: None, reason } => {
                match trip.halt(Stop::Aborted(Abort::new(reason))).await {}
            }
            _ => None,
        }
    }

    /// Undoes what an attempt of unknown outcome may have done, though the answer
    /// to a later one was "no".
    async fn take_back<C: Command>(&self, undo: Option<Undo<C>>, asked: u32) {
        let Self { trip, step: Step { name, .. }, .. } = self;
        let order = match (&self.anyway, undo) {
            (Some(order), _) => order.clone(),
            (None, None) => return,
            (None, Some(undo)) => match bare::<C>().map(|reply| undo(&reply)) {
                Some(Ok(order)) => order,
                Some(Err(error)) => return trip.unreadable(name, error).await,
                None => {
                    let (saga, id) = (trip.plan.name, &trip.id);
                    tracing::warn!(
                        saga,
                        %id,
                        step = name,
                        "a step was refused after an attempt of unknown outcome, and is not \
                         undone, for its undo is made of its reply; see `undo_anyway`"
                    );
                    return;
                }
            },
        };
        let mut attempts = 0;
        loop {
            attempts += 1;
            trip.clear().await;
            match ask(trip, (name, attempts), &order).await {
                // What says no has nothing to undo.
                Ok(()) | Err(Undone::Refused(_)) => return,
                Err(Undone::Trouble(trouble)) => {
                    let trouble = format!(
                        "it was refused, and `{}`, which undoes what an attempt before may have \
                         done, does not succeed: {trouble}",
                        order.subject
                    );
                    let wait = trip.plan.undoing().unending(attempts, fastrand::f64());
                    trip.put_off(name, asked, &trouble, wait).await;
                }
            }
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
        let _attempting = trip.attempting();
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
        if maybe_run || (trip.has_pivoted() && !trip.is_closing()) {
            let wait = retry.unending(attempts, fastrand::f64());
            return trip.put_off(step, attempts, trouble, wait).await;
        }
        let wait = retry.after(attempts, fastrand::f64());
        let Some(wait) = wait.filter(|_| !trip.is_closing()) else {
            let reason = format!("`{step}` could not be called: {trouble}");
            trip.count(&self.step, "failed");
            trip.fail(step, None, reason.clone(), attempts);
            match trip.halt(Stop::Aborted(Abort::new(reason))).await {}
        };
        let (saga, id) = (trip.plan.name, &trip.id);
        tracing::debug!(saga, %id, step, trouble, "a step is tried again");
        let heard = trip.heard.notified();
        tokio::select! {
            () = sleep(wait) => {}
            () = heard => {}
        }
    }
}

/// Returns the reply that says nothing, if there is no other.
fn bare<C: Command>() -> Option<Reply<C>> {
    const NIL: &[u8] = &[0xc0];
    if size_of::<Reply<C>>() > 0 {
        return None;
    }
    codec::decode(NIL).ok()
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
