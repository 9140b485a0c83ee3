use super::{
    Decision,
    plan::Plan,
    shard::{Decide, Shard},
};
use crate::{
    actor::{Actor, Taken},
    message::{Command, Event, Refused, Reply},
    supervision::Child,
};
use std::{fmt, sync::Arc};

/// Describes an event-sourced entity: one state per key, and its events are the truth.
///
/// A command is decided on the state by a pure function; what it decides is
/// appended to the stream of the entity's domain on the entity's own subject,
/// on the condition that nothing came between; then it is applied, and the
/// reply is sent. If something came between, the state catches up and the
/// command is decided again.
///
/// Each key is serial, all keys are worked on side by side. Any node may decide
/// a command: the condition on the stream protects the entity. The same command
/// id again changes nothing and gets the reply of the first time, for the last
/// 1,000 commands of a key.
///
/// # Examples
///
/// ```
/// use callboard::{Command, Entity, Event, Group, Rejection, Subject};
/// use serde::{Deserialize, Serialize};
/// use std::borrow::Cow;
///
/// #[derive(Debug, Clone, Serialize, Deserialize)]
/// struct Deposit {
///     account: String,
///     amount: u64,
/// }
///
/// #[derive(Debug, Serialize, Deserialize, thiserror::Error)]
/// #[error("there is nothing to deposit")]
/// struct Nothing;
/// impl Rejection for Nothing {}
///
/// impl Command for Deposit {
///     const SUBJECT: Subject = Subject::new("bank.deposit");
///     type Outcome = Result<u64, Nothing>;
///     fn key(&self) -> Cow<'_, str> {
///         Cow::Borrowed(&self.account)
///     }
/// }
///
/// #[derive(Debug, Serialize, Deserialize)]
/// struct Deposited {
///     account: String,
///     amount: u64,
/// }
///
/// impl Event for Deposited {
///     const SUBJECT: Subject = Subject::new("bank.deposited");
///     fn key(&self) -> Cow<'_, str> {
///         Cow::Borrowed(&self.account)
///     }
/// }
///
/// #[derive(Default)]
/// struct Account {
///     balance: u64,
/// }
///
/// impl Account {
///     fn deposit(&self, deposit: Deposit) -> Result<(Deposited, u64), Nothing> {
///         let Deposit { account, amount } = deposit;
///         if amount == 0 {
///             return Err(Nothing);
///         }
///         Ok((Deposited { account, amount }, self.balance + amount))
///     }
///
///     fn deposited(&mut self, deposited: &Deposited) {
///         self.balance += deposited.amount;
///     }
/// }
///
/// let bank = Group::new("bank").child(
///     Entity::new("account", Account::default)
///         .decide(Account::deposit)
///         .apply(Account::deposited),
/// );
/// ```
#[must_use = "an entity does nothing until it is the child of a group on a node"]
pub struct Entity<S> {
    plan: Plan<S>,
    decides: Vec<AddTo<S>>,
}

/// Adds one command to the actor that hosts the entities.
type AddTo<S> = Box<dyn FnOnce(Actor<Shard<S>>) -> Actor<Shard<S>>>;

impl<S: 'static> Entity<S> {
    /// Describes an entity by its name and its state before the first event.
    ///
    /// The name is one token of `a-z 0-9 -`, unique in its group.
    pub fn new(name: &'static str, initial: impl Fn() -> S + Send + Sync + 'static) -> Self {
        Self { plan: Plan::new(name, Arc::new(initial)), decides: Vec::new() }
    }

    /// Decides a command: a pure function of the state and the command.
    ///
    /// It returns the domain's "no", or what happened: an event, an event and a
    /// reply, or a [`Decision`]. It may be called again with a newer state, and
    /// with the state of then when a command comes a second time: a panic is
    /// its caller's 500, and nobody else's.
    pub fn decide<C, D>(
        mut self,
        decide: impl Fn(&S, C) -> Result<D, Refused<C>> + Send + Sync + 'static,
    ) -> Self
    where
        C: Command + Clone,
        D: Into<Decision<Reply<C>>>,
    {
        let decide: Decide<S, C> =
            Arc::new(move |state, command| decide(state, command).map(Into::into));
        self.decides.push(Box::new(move |actor| {
            actor.take(async move |shard: &mut Shard<S>, taken: Taken<C>| {
                shard.take(taken, Arc::clone(&decide)).await;
            })
        }));
        self
    }

    /// Applies an event to the state: a pure function that cannot fail.
    ///
    /// Every event that the entity decides, or ever decided, needs one.
    ///
    /// # Panics
    ///
    /// Panics if the event is of another domain than the ones before.
    pub fn apply<E: Event>(mut self, apply: impl Fn(&mut S, &E) + Send + Sync + 'static) -> Self {
        self.plan.on(apply);
        self
    }

    /// Sets how many entities stay in memory while nobody asks for them; 10,000
    /// by default. The one that rested longest leaves first, and is loaded
    /// again from its events when it is asked for.
    pub const fn cached(mut self, entities: usize) -> Self {
        self.plan.cached = entities;
        self
    }
}

impl<S: 'static> From<Entity<S>> for Child {
    fn from(entity: Entity<S>) -> Self {
        let plan = Arc::new(entity.plan);
        let name = plan.name;
        let shard = Actor::new(name, move || Shard::open(Arc::clone(&plan))).on_stop(Shard::close);
        entity
            .decides
            .into_iter()
            .fold(shard, |shard, add| add(shard))
            .into()
    }
}

impl<S> fmt::Debug for Entity<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entity")
            .field("name", &self.plan.name)
            .finish_non_exhaustive()
    }
}
