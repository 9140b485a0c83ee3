use super::{
    Abort, Steps, check,
    page::Order,
    plan::{Over, Plan, Run},
    runner::{Failed, Runner, Wanted},
};
use crate::{
    actor::{Actor, Birth, Heard, Retry, Review, SagaNeeds, Taken, guarded},
    error::Failure,
    message::{Command, Event, Infallible, Outcome, Refused, Reply, alike_as, codec},
    supervision::Child,
};
use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};
use std::{fmt, marker::PhantomData, sync::Arc, time::Duration};

/// How long what is run may take to be handed on when its node stops.
const STOP_WITHIN: Duration = Duration::from_secs(10);

/// Describes a saga: steps over several domains that are all done, or all undone.
///
/// Its code is an `async fn` that takes [`Steps`]. Every step is written down in
/// the saga's journal, so that any node of the group can go on where another
/// died. If the code returns an [`Abort`], what was done is undone, what was done
/// last first, from what is written down alone.
///
/// A saga's id is the key of the event or command that starts it. Started again
/// under the same id, it is the same saga.
///
/// # Examples
///
/// ```
/// use callboard::{Abort, Command, Event, Group, Infallible, Rejection, Saga, Steps, Subject};
/// use serde::{Deserialize, Serialize};
/// # use std::borrow::Cow;
///
/// #[derive(Serialize, Deserialize)]
/// struct Placed { order: String, total: u64 }
/// # impl Event for Placed {
/// #     const SUBJECT: Subject = Subject::new("orders.placed");
/// #     fn key(&self) -> Cow<'_, str> { Cow::Borrowed(&self.order) }
/// # }
/// #[derive(Serialize, Deserialize)]
/// struct Reserve { order: String }
/// # impl Command for Reserve {
/// #     const SUBJECT: Subject = Subject::new("inventory.reserve");
/// #     type Outcome = Result<(), Infallible>;
/// # }
/// #[derive(Serialize, Deserialize)]
/// struct Release { order: String }
/// # impl Command for Release {
/// #     const SUBJECT: Subject = Subject::new("inventory.release");
/// #     type Outcome = Result<(), Infallible>;
/// # }
/// #[derive(Serialize, Deserialize)]
/// struct Charge { order: String, amount: u64 }
/// # #[derive(Debug, Serialize, Deserialize, thiserror::Error)]
/// # #[error("declined")]
/// # struct Declined;
/// # impl Rejection for Declined {}
/// # impl Command for Charge {
/// #     const SUBJECT: Subject = Subject::new("payments.charge");
/// #     type Outcome = Result<(), Declined>;
/// # }
///
/// async fn checkout(steps: &mut Steps, placed: Placed) -> Result<(), Abort> {
///     let Placed { order, total } = placed;
///     let again = order.clone();
///     steps
///         .call(Reserve { order: order.clone() })
///         .undo(move |()| Release { order: again })
///         .await?;
///     steps.call(Charge { order, amount: total }).await?;
///     Ok(())
/// }
///
/// let orders = Group::new("orders")
///     .child(Saga::new("checkout", checkout).on(|placed: Placed| placed));
/// ```
#[must_use = "a saga does nothing until it is the child of a group on a node"]
pub struct Saga<I, T> {
    pub(super) plan: Plan,
    table: Vec<Listing>,
    from_beginning: bool,
    formerly: Option<String>,
    types: PhantomData<fn(I) -> T>,
}

/// Adds one message to the actor that runs the sagas.
type Listing = Box<dyn FnOnce(Actor<Runner>) -> Actor<Runner>>;

impl<I, T> Saga<I, T>
where
    I: Serialize + DeserializeOwned + 'static,
    T: Serialize + DeserializeOwned + Send + 'static,
{
    /// Describes a saga by its name and its code.
    ///
    /// The name is one token of `a-z 0-9 -`, unique in its namespace: journals
    /// are kept under it.
    pub fn new<F>(name: &'static str, code: F) -> Self
    where
        F: AsyncFn(&mut Steps, I) -> Result<T, Abort> + Clone + Send + Sync + 'static,
    {
        let run: Run = Arc::new(move |mut steps: Steps, input: Bytes| {
            let code = code.clone();
            Box::pin(async move {
                let input = codec::decode(&input)
                    .map_err(|error| Over::Unreadable(format!("what it began with {error}")))?;
                let reply = code(&mut steps, input).await.map_err(Over::Aborted)?;
                codec::encode(&reply)
                    .map_err(|error| Over::Unreadable(format!("what it ended with {error}")))
            })
        });
        Self {
            plan: Plan::new(name, run),
            table: Vec::new(),
            from_beginning: false,
            formerly: None,
            types: PhantomData,
        }
    }

    /// Starts one with an event, under the event's key: with what its code takes,
    /// or with nothing if the event is not for it.
    ///
    /// A saga that is new begins with the events that are published once its first
    /// node has started, unless it says [`from_beginning`](Self::from_beginning).
    ///
    /// # Examples
    ///
    /// ```
    /// # use callboard::{Abort, Event, Saga, Steps, Subject};
    /// # use serde::{Deserialize, Serialize};
    /// # #[derive(Serialize, Deserialize)]
    /// # struct Placed { order: String, is_gift: bool }
    /// # impl Event for Placed {
    /// #     const SUBJECT: Subject = Subject::new("orders.placed");
    /// #     fn key(&self) -> std::borrow::Cow<'_, str> { self.order.as_str().into() }
    /// # }
    /// async fn wrap(_: &mut Steps, order: String) -> Result<(), Abort> {
    ///     Ok(())
    /// }
    ///
    /// let wrapping = Saga::new("wrapping", wrap)
    ///     .on(|placed: Placed| placed.is_gift.then_some(placed.order));
    /// ```
    pub fn on<E, B>(mut self, begin: impl Fn(E) -> B + Clone + Send + Sync + 'static) -> Self
    where
        E: Event,
        B: Into<Option<I>> + 'static,
    {
        self.table.push(Box::new(move |actor| {
            actor.hear(async move |runner: &mut Runner, event: E, heard: Heard| {
                let begin = begin.clone();
                runner.begin(heard, move || {
                    let id = event.key().into_owned();
                    begin(event).into().map(|begin| (id, input(begin)))
                });
            })
        }));
        self
    }

    /// Starts one with a command, and answers once that is stored: with its id,
    /// which is the command's key, or the command's id if it has none. One that began
    /// with another input under this id is refused with 409; the order of lists and maps
    /// makes no other input, for sets are written in any order.
    pub fn accept<C>(mut self, begin: impl Fn(&C) -> I + Clone + Send + Sync + 'static) -> Self
    where
        C: Command<Outcome = Result<String, Infallible>>,
    {
        self.table.push(Box::new(move |actor| {
            actor.take(async move |runner: &mut Runner, taken: Taken<C>| {
                match wanted(|| begin(&taken.command)).await {
                    Ok(wanted) => runner.accept(taken, wanted),
                    Err(panic) => refuse(taken, panic).await,
                }
            })
        }));
        self
    }

    /// Starts one with a command, and answers with its outcome, under the
    /// command's key, or the command's id if it has none.
    ///
    /// A caller that does not wait so long is told that it
    /// [still runs](crate::CallError::StillRunning), and asks again with the same key, or
    /// looks with [`Sagas`](super::Sagas): the saga goes on without it. One that asks
    /// with the same key for another input is refused with 409. How many wait at once
    /// is bounded by the mailbox; more are answered with 503.
    pub fn answer<C>(mut self, begin: impl Fn(&C) -> I + Clone + Send + Sync + 'static) -> Self
    where
        C: Command,
        C::Outcome: Outcome<Reply = T>,
        Reply<C>: DeserializeOwned,
        Refused<C>: From<Abort>,
    {
        self.table.push(Box::new(move |actor| {
            actor.take(async move |runner: &mut Runner, taken: Taken<C>| {
                match wanted(|| begin(&taken.command)).await {
                    Ok(wanted) => runner.answer(taken, wanted),
                    Err(panic) => refuse(taken, panic).await,
                }
            })
        }));
        self
    }

    /// Hears an event that its steps [wait for](Steps::wait_for): says which saga
    /// it may be for.
    pub fn hears<E: Event>(
        mut self,
        id: impl Fn(&E) -> String + Clone + Send + Sync + 'static,
    ) -> Self {
        self.plan.hears.insert(E::SUBJECT.as_str());
        self.table.push(Box::new(move |actor| {
            actor.hear(async move |runner: &mut Runner, event: E, heard: Heard| {
                let id = id.clone();
                runner.wake(heard, move || id(&event));
            })
        }));
        self
    }

    /// Says what is called when all was undone, such as the order's refusal: a
    /// command made of what the saga began with and why it aborts. It is stored
    /// with the abort, and called until that succeeds.
    pub fn on_abort<C: Command>(
        mut self,
        word: impl Fn(I, &Abort) -> C + Send + Sync + 'static,
    ) -> Self {
        self.plan.last_word = Some(Arc::new(move |input, abort| {
            let input =
                codec::decode(input).map_err(|error| format!("what it began with {error}"))?;
            Order::of(&word(input, abort)).map_err(|error| format!("what it says at last {error}"))
        }));
        self
    }
}

impl<I, T> Saga<I, T> {
    /// Sets how long it may take until its [pivot](Steps::pivot); then it aborts,
    /// also during its last step. No limit by default.
    ///
    /// A step whose outcome is not known goes before it: it is called until that
    /// is known, however long that takes, and then undone. One with
    /// [`undo_anyway`](super::CallStep::undo_anyway) is undone at once.
    pub const fn deadline(mut self, limit: Duration) -> Self {
        self.plan.deadline = Some(limit);
        self
    }

    /// Sets how long one attempt at a step waits for its reply; 5 s by default.
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.plan.timeout = timeout;
        self
    }

    /// Sets how a step is tried again; 80 times with up to 10 s in between by default.
    /// A step that certainly was never run fails then. One that may have been run, or
    /// comes after the [pivot](Steps::pivot), is tried on, with up to five minutes
    /// in between.
    pub const fn retry(mut self, retry: Retry) -> Self {
        self.plan.retry = retry;
        self
    }

    /// Sets how undoing a step is tried again, and after how many attempts the saga
    /// is parked. By default it is tried without end, with up to five minutes in
    /// between.
    pub const fn undo_retry(mut self, retry: Retry) -> Self {
        self.plan.undo_retry = Some(retry);
        self
    }

    /// Sets after how much silence of its runner a saga goes on elsewhere; 8 s
    /// by default.
    ///
    /// # Panics
    ///
    /// Panics if it is less than a second.
    pub fn takeover_after(mut self, silence: Duration) -> Self {
        assert!(
            silence >= Duration::from_secs(1),
            "a runner speaks four times in this time"
        );
        self.plan.lease = silence;
        self
    }

    /// Lets sagas be run for all events that are in the log already when the saga is
    /// new; by default it begins with those that are published once its first node
    /// has started.
    pub const fn from_beginning(mut self) -> Self {
        self.from_beginning = true;
        self
    }

    /// Lets it go on, when it is new, where the saga's runner of another path stood,
    /// such as `orders/checkout`: it moved to another group. See
    /// [`Actor::formerly`].
    pub fn formerly(mut self, path: impl Into<String>) -> Self {
        self.formerly = Some(path.into());
        self
    }

    /// Sets how many of these sagas are run at once on all nodes; 4,096 by
    /// default. Those that wait for long do not count, and those that are
    /// started on top wait in the stream.
    pub const fn in_flight(mut self, sagas: usize) -> Self {
        self.plan.in_flight = sagas;
        self
    }
}

fn input<I: Serialize>(input: I) -> Result<Bytes, Failure> {
    codec::encode(&input).map_err(Failure::discard)
}

/// Makes what a command wants a saga to begin with, or says why that panicked.
async fn wanted<I>(begin: impl FnOnce() -> I) -> Result<Wanted, String>
where
    I: Serialize + DeserializeOwned,
{
    let input = guarded(async { codec::encode(&begin()) }).await?;
    let input = input.map_err(|error| Failed(error.to_string()));
    Ok(Wanted { input, same: same::<I> })
}

/// Whether what a journal has and what is wanted now are the same input: but for the
/// order of lists and maps, and with fields that the code has gained since as they are by
/// default.
fn same<I: Serialize + DeserializeOwned>(journal: &[u8], wanted: &[u8]) -> bool {
    alike_as::<I>(journal, wanted).unwrap_or(false)
}

/// Answers a command over which a user's code panicked: that is its business, not that
/// of all other sagas.
async fn refuse<C: Command>(taken: Taken<C>, panic: String) {
    let span = taken.span();
    span.in_scope(|| tracing::error!(subject = C::SUBJECT.as_str(), panic, "no saga was begun"));
    taken.answer(Err(panic)).await;
}

impl<I: 'static, T: 'static> From<Saga<I, T>> for Child {
    fn from(saga: Saga<I, T>) -> Self {
        let plan = Arc::new(saga.plan);
        let name = plan.name;
        let reviewed = Arc::clone(&plan);
        let review: Review =
            Arc::new(move |client| Box::pin(check::strays(Arc::clone(&reviewed), client)));
        let needs = SagaNeeds { review, lease: plan.lease, in_flight: plan.in_flight };
        let open = move |birth: Birth| {
            let plan = Arc::clone(&plan);
            async move { Runner::open(plan, birth).await }
        };
        let runner = Actor::born(name, open, Runner::look)
            .runs_sagas(needs)
            .on_stop(Runner::close)
            .stop_within(STOP_WITHIN);
        let runner = if saga.from_beginning {
            runner
        } else {
            runner.from_now()
        };
        let runner = match saga.formerly {
            Some(path) => runner.formerly(path),
            None => runner,
        };
        saga.table
            .into_iter()
            .fold(runner, |runner, list| list(runner))
            .into()
    }
}

impl<I, T> fmt::Debug for Saga<I, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Saga")
            .field("name", &self.plan.name)
            .finish_non_exhaustive()
    }
}
