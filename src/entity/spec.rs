use super::{
    Decision,
    plan::Plan,
    shard::{Decide, Prepare, Shard},
    snapshot::Snapshots,
};
use crate::{
    actor::{Actor, Birth, Context, Taken},
    call::Refusal,
    message::{Command, Event, Refused, Reply},
    supervision::Child,
};
use serde::{Serialize, de::DeserializeOwned};
use std::{fmt, sync::Arc, time::Duration};

/// How often to look for entities that rest too long.
const LOOK: Duration = Duration::from_mins(1);

/// How long what is in flight may take when its node stops.
const STOP_WITHIN: Duration = Duration::from_secs(15);

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
/// 1,000 commands of a key and for 15 minutes, up to 20,000 commands. A rejection of
/// a command whose caller named the id is said again too, as long as the entity
/// stays in memory, and from a snapshot that was taken after it.
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
    shards: usize,
    mailbox: usize,
    decides: Vec<AddTo<S>>,
}

/// Adds one command to the actor that hosts the entities.
type AddTo<S> = Box<dyn FnOnce(Actor<Shard<S>>) -> Actor<Shard<S>>>;

impl<S: 'static> Entity<S> {
    /// Describes an entity by its name and its state before the first event.
    ///
    /// The name is one token of `a-z 0-9 -`, unique in its group.
    pub fn new(name: &'static str, initial: impl Fn() -> S + Send + Sync + 'static) -> Self {
        Self {
            plan: Plan::new(name, Arc::new(initial)),
            shards: 1,
            mailbox: 1_024,
            decides: Vec::new(),
        }
    }

    /// Decides a command: a pure function of the state and the command.
    ///
    /// It returns the domain's "no", or what happened: an event, an event and a
    /// reply, or a [`Decision`]. It is called again with a newer state if others
    /// were faster, also on another node. A panic is its caller's 500, and
    /// nobody else's.
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

    /// Decides a command with what is found out first: the answer of another
    /// domain, or the time.
    ///
    /// `prepare` works outside of the entity and sees no state; it runs once per
    /// attempt at the command, side by side with others of the same key, within
    /// the caller's deadline (30 s without one). What it calls carries ids that
    /// follow from the command's. `decide` is as in [`decide`](Self::decide),
    /// and gets what `prepare` found.
    ///
    /// # Examples
    ///
    /// ```
    /// # use callboard::{Command, Context, Entity, Event, Infallible, Refusal, Subject};
    /// # use serde::{Deserialize, Serialize};
    /// # use std::{borrow::Cow, time::SystemTime};
    /// # #[derive(Clone, Serialize, Deserialize)]
    /// # struct Stamp { card: String }
    /// # impl Command for Stamp {
    /// #     const SUBJECT: Subject = Subject::new("cards.stamp");
    /// #     type Outcome = Result<(), Infallible>;
    /// #     fn key(&self) -> Cow<'_, str> { Cow::Borrowed(&self.card) }
    /// # }
    /// # #[derive(Serialize, Deserialize)]
    /// # struct Stamped { card: String, at: SystemTime }
    /// # impl Event for Stamped {
    /// #     const SUBJECT: Subject = Subject::new("cards.stamped");
    /// #     fn key(&self) -> Cow<'_, str> { Cow::Borrowed(&self.card) }
    /// # }
    /// #[derive(Default)]
    /// struct Card { stamps: u32 }
    ///
    /// impl Card {
    ///     async fn time(_: &Stamp, ctx: &Context) -> Result<SystemTime, Refusal<Infallible>> {
    ///         Ok(ctx.now())
    ///     }
    ///
    ///     fn stamp(&self, stamp: Stamp, at: SystemTime) -> Result<Stamped, Infallible> {
    ///         Ok(Stamped { card: stamp.card, at })
    ///     }
    /// }
    ///
    /// Entity::new("card", Card::default)
    ///     .decide_with(Card::time, Card::stamp)
    ///     .apply(|card: &mut Card, _: &Stamped| card.stamps += 1);
    /// ```
    pub fn decide_with<C, P, D, F>(
        mut self,
        prepare: F,
        decide: impl Fn(&S, C, P) -> Result<D, Refused<C>> + Send + Sync + 'static,
    ) -> Self
    where
        C: Command + Clone,
        P: Clone + Send + Sync + 'static,
        D: Into<Decision<Reply<C>>>,
        F: AsyncFn(&C, &Context) -> Result<P, Refusal<Refused<C>>> + Clone + Send + Sync + 'static,
    {
        let decide = Arc::new(decide);
        let how = erase::<S, C, _>(move |command, ctx| {
            let (prepare, decide) = (prepare.clone(), Arc::clone(&decide));
            Box::pin(async move {
                let found = prepare(command, ctx).await?;
                let decide: Decide<S, C> = Arc::new(move |state, command| {
                    decide(state, command, found.clone()).map(Into::into)
                });
                Ok(decide)
            })
        });
        self.decides.push(Box::new(move |actor| {
            actor.take(async move |shard: &mut Shard<S>, taken: Taken<C>| {
                shard.prepare(taken, Arc::clone(&how));
            })
        }));
        self
    }

    /// Applies an event to the state: a pure function that cannot fail.
    ///
    /// Every event that the entity decides, or ever decided, needs one. Events
    /// of older versions come through [`Event::upcast`].
    ///
    /// # Panics
    ///
    /// Panics if the event is of another domain than the ones before.
    pub fn apply<E: Event>(mut self, apply: impl Fn(&mut S, &E) + Send + Sync + 'static) -> Self {
        self.plan.on(apply);
        self
    }

    /// Passes over an event that changes nothing here.
    ///
    /// # Panics
    ///
    /// Panics if the event is of another domain than the ones before.
    pub fn ignore<E: Event>(mut self) -> Self {
        self.plan.pass(E::SUBJECT);
        self
    }

    /// Sets how many entities stay in memory while nobody asks for them; 10,000
    /// per shard by default. The one that rested longest leaves first, and is
    /// loaded again from its events when it is asked for. All that rest in a shard
    /// remember 500,000 ids of commands together, about 30 MB.
    pub const fn cached(mut self, entities: usize) -> Self {
        self.plan.cached = entities;
        self
    }

    /// Sets how long an entity stays in memory while nobody asks for it; 10 min
    /// by default, looked at once a minute.
    pub const fn passivate_after(mut self, idle: Duration) -> Self {
        self.plan.idle = idle;
        self
    }

    /// Sets how many commands may wait or be worked on at once in each shard;
    /// 1,024 by default. Those that come on top are answered with 503 at once.
    pub const fn mailbox(mut self, capacity: usize) -> Self {
        self.mailbox = capacity;
        self
    }

    /// Spreads the keys over this many actors, each on a thread of its own if
    /// there are enough; 1 by default. Keys of one shard do not wait for each
    /// other's appends either way.
    ///
    /// # Panics
    ///
    /// Panics if the count is 0.
    pub fn shards(mut self, count: usize) -> Self {
        assert!(count > 0, "an entity has at least one shard");
        self.shards = count;
        self
    }
}

impl<S: Serialize + DeserializeOwned + 'static> Entity<S> {
    /// Takes a snapshot of an entity after so many events, so that loading it
    /// goes through the events after that one only.
    ///
    /// A snapshot that cannot be read, or is of another
    /// [version](Self::snapshot_version), is passed over, and the entity is
    /// built from all its events. It is stored beside the line of its key, a large
    /// state in parts, up to 16 MiB; what cannot be stored is logged and tried again
    /// later. A state of 64 KiB or more is warned of, once per doubling.
    pub fn snapshot_every(mut self, events: u64) -> Self {
        self.plan.snapshots = Some(Snapshots::every(events));
        self
    }

    /// Sets the version of the state's type; 1 by default. Raise it with every
    /// change by which an older snapshot would decode to something wrong.
    pub const fn snapshot_version(mut self, version: u32) -> Self {
        self.plan.version = version;
        self
    }
}

/// Gives the closure the one signature that inference does not find by itself.
fn erase<S, C: Command, F>(prepare: F) -> Prepare<S, C>
where
    F: for<'a> Fn(
            &'a C,
            &'a Context,
        )
            -> futures_util::future::LocalBoxFuture<'a, super::shard::Prepared<S, C>>
        + Send
        + Sync
        + 'static,
{
    Arc::new(prepare)
}

impl<S: 'static> From<Entity<S>> for Child {
    fn from(entity: Entity<S>) -> Self {
        let plan = Arc::new(entity.plan);
        let name = plan.name;
        let look = LOOK.min(plan.idle).max(Duration::from_secs(1));
        let open = async move |birth: Birth| Shard::open(Arc::clone(&plan), birth).await;
        let shard = Actor::born(name, open, Shard::look)
            .instances(entity.shards)
            .mailbox(entity.mailbox)
            .every(look, Shard::passivate)
            .on_stop(Shard::close)
            .stop_within(STOP_WITHIN);
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
