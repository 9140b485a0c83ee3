use super::{
    calling::CallStep,
    page::Move,
    scope::Fork,
    telling::{PublishStep, SendStep},
    trip::Trip,
    waiting::{SleepStep, WaitStep},
};
use crate::message::{Command, Event, Id, Key};
use futures_util::future::{join, join_all};
use std::{fmt, future::IntoFuture, rc::Rc, time::Duration};

/// What a saga's code takes its steps with.
///
/// Each step is written down before it is taken and when its outcome is known.
/// After a crash the code runs again from its start, and what is written down
/// is not done again: the step returns what it returned then. So the code
/// between the steps must come to the same steps again, and have no effects of
/// its own.
///
/// A step's name is the subject of what it sends, or [`named`](CallStep::named)
/// one, and how often that name came before. Steps that a live saga has not come
/// to may be added, removed and moved; where the code does not come to a step
/// any more that was taken, or comes to it with another command, the saga is
/// parked. The order of fields, of maps and of lists makes no other command.
///
/// Steps that run side by side go through [`all`](Self::all) or
/// [`join`](Self::join), which wait for all of them. Each of what they are given,
/// one step or an `async` block of several, is a branch: its steps are named and
/// counted by it, as in `0/payments.charge` and `1/payments.charge`. A step that
/// is dropped half-way, as by `select!` or `try_join!`, may leave an outcome that
/// nobody asks for: then the saga is parked.
pub struct Steps(pub(super) Rc<Trip>);

impl Steps {
    /// Calls a command, and awaits its reply or the domain's "no".
    pub fn call<C: Command>(&self, command: C) -> CallStep<C> {
        CallStep::new(Rc::clone(&self.0), command)
    }

    /// Sends a command as a job.
    pub fn send<C: Command>(&self, command: C) -> SendStep<C> {
        SendStep::new(Rc::clone(&self.0), command)
    }

    /// Publishes an event.
    pub fn publish<E: Event>(&self, event: E) -> PublishStep<E> {
        PublishStep::new(Rc::clone(&self.0), event)
    }

    /// Waits for so long. Longer waits cost nothing: the saga leaves memory and
    /// a timer in its stream wakes it.
    pub fn sleep(&self, time: Duration) -> SleepStep {
        SleepStep::new(Rc::clone(&self.0), time)
    }

    /// Waits for an event of a key; gives nothing if none came in time.
    ///
    /// It is the first event of this type and key that no earlier wait of this
    /// saga took, also if it came before the wait. The saga must
    /// [hear](super::Saga::hears) the event, or it would not be woken.
    pub fn wait_for<E: Event>(&self, key: impl Into<String>, timeout: Duration) -> WaitStep<E> {
        WaitStep::new(Rc::clone(&self.0), key.into(), timeout)
    }

    /// Takes steps, or blocks of them, side by side, and returns all outcomes in
    /// order.
    pub async fn all<S: IntoFuture>(&self, steps: impl IntoIterator<Item = S>) -> Vec<S::Output> {
        let mut fork = Fork::new(&self.0);
        join_all(steps.into_iter().map(|step| fork.branch(step))).await
    }

    /// Takes two steps, or two blocks of them, side by side, and returns both
    /// outcomes.
    pub async fn join<A: IntoFuture, B: IntoFuture>(
        &self,
        one: A,
        other: B,
    ) -> (A::Output, B::Output) {
        let mut fork = Fork::new(&self.0);
        let (one, other) = (fork.branch(one), fork.branch(other));
        join(one, other).await
    }

    /// Says that there is no way back from here: steps are tried until they
    /// succeed, no deadline counts, and an abort parks the saga.
    ///
    /// It is written down with the next step. A saga that was called off before
    /// that, or whose deadline passed, turns back.
    pub fn pivot(&self) {
        if !self.0.has_pivoted() && !self.0.is_closing() {
            self.0.push(Move::Pivoted);
        }
    }

    /// Returns the saga's id, as it was given.
    pub fn id(&self) -> String {
        self.key().decode()
    }

    /// Returns the id that the whole story shares.
    pub fn correlation(&self) -> &Id {
        &self.0.cause.correlation
    }

    fn key(&self) -> &Key {
        &self.0.id
    }
}

impl fmt::Debug for Steps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Steps({} of {})", self.0.id, self.0.plan.name)
    }
}
