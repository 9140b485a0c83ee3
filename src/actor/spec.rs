use super::{
    Context, Heard, Poke, Restart, Retry, Taken,
    blueprint::{Answered, Begins, Blueprint, Repeated, SagaNeeds},
    cell,
    host::{Birth, Factory, Plan},
    pattern::{Cron, Pattern},
    route::{self, Run},
    taken,
};
use crate::{
    call::Answer,
    error::Failure,
    message::{Command, Event, Subject, is_name},
};
use std::{
    any::TypeId,
    collections::BTreeMap,
    fmt,
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

/// Describes an actor: how it is built, what it hears and answers, when it restarts.
///
/// The state is any type; it need not be `Send`. Handlers are its own
/// `async fn`s, one at a time: while one waits, the mailbox waits.
///
/// # Examples
///
/// ```
/// use callboard::{Actor, Context, Failure};
/// use std::time::Duration;
///
/// struct Clock {
///     ticks: u64,
/// }
///
/// impl Clock {
///     async fn open() -> Result<Self, Failure> {
///         Ok(Self { ticks: 0 })
///     }
///
///     async fn tick(&mut self, _: &Context) -> Result<(), Failure> {
///         self.ticks += 1;
///         Ok(())
///     }
/// }
///
/// let clock = Actor::new("clock", Clock::open).every(Duration::from_secs(1), Clock::tick);
/// ```
#[must_use = "an actor does nothing until it is the child of a group on a node"]
pub struct Actor<A> {
    name: &'static str,
    plan: Plan<A>,
    answers: Vec<Answered>,
    hears: Vec<(Subject, usize)>,
    schemas: BTreeMap<&'static str, u32>,
    ticks: Vec<(Duration, usize)>,
    repeats: Vec<Repeated>,
    restart: Restart,
    instances: usize,
    mailbox: usize,
    retry: Retry,
    lag: Option<Arc<AtomicU64>>,
    sagas: Option<SagaNeeds>,
    begins: Begins,
    formerly: Option<String>,
}

impl<A: 'static> Actor<A> {
    /// Describes an actor by its name and by what builds its state.
    ///
    /// The state is built on the thread it lives on, anew after every crash.
    /// The name is one token of `a-z 0-9 -`, unique in its group.
    pub fn new<F>(name: &'static str, open: F) -> Self
    where
        F: AsyncFn() -> Result<A, Failure> + Clone + Send + Sync + 'static,
    {
        let factory: Factory<A> = Arc::new(move |_| {
            let open = open.clone();
            Box::pin(async move { open().await })
        });
        Self::built(name, factory)
    }

    /// Describes an actor whose state is built with a way to the bus, and whose
    /// own tasks may have it looked at.
    pub(crate) fn born<F, P>(name: &'static str, open: F, poked: P) -> Self
    where
        F: AsyncFn(Birth) -> Result<A, Failure> + Clone + Send + Sync + 'static,
        P: AsyncFn(&mut A, &Context) -> Result<(), Failure> + Clone + Send + Sync + 'static,
    {
        let factory: Factory<A> = Arc::new(move |birth| {
            let open = open.clone();
            Box::pin(async move { open(birth).await })
        });
        let mut actor = Self::built(name, factory);
        let at = actor.route("poke", route::tick(poked));
        debug_assert_eq!(at, Poke::ROUTE, "nothing is listed before");
        actor
    }

    fn built(name: &'static str, factory: Factory<A>) -> Self {
        Self {
            name,
            plan: Plan {
                factory,
                routes: Vec::new(),
                on_stop: None,
                start_within: Duration::from_secs(30),
                handle_within: Duration::from_secs(30),
                stop_within: Duration::from_secs(5),
            },
            answers: Vec::new(),
            hears: Vec::new(),
            schemas: BTreeMap::new(),
            ticks: Vec::new(),
            repeats: Vec::new(),
            restart: Restart::default(),
            instances: 1,
            mailbox: 1_024,
            retry: Retry::default(),
            lag: None,
            sagas: None,
            begins: Begins::default(),
            formerly: None,
        }
    }

    /// Answers a command, and does it when it was sent as a job.
    ///
    /// A job is done as an event is heard: at least once, in order per key, tried
    /// again as [`retry`](Self::retry) says, then a dead letter. Its reply goes
    /// nowhere, and what the domain says no to is done.
    pub fn answer<C: Command, F>(mut self, handler: F) -> Self
    where
        F: AsyncFn(&mut A, C, &Context) -> Answer<C> + Clone + Send + Sync + 'static,
    {
        let at = self.route(C::SUBJECT.as_str(), route::answer(handler));
        self.answers.push(Answered {
            subject: C::SUBJECT,
            command: TypeId::of::<C>(),
            route: at,
            peek: route::peek::<C>,
        });
        self
    }

    /// Takes a command out of the mailbox, to be answered later.
    pub(crate) fn take<C: Command, F>(mut self, handler: F) -> Self
    where
        F: AsyncFn(&mut A, Taken<C>) + Clone + Send + Sync + 'static,
    {
        let at = self.route(C::SUBJECT.as_str(), taken::take(handler));
        self.answers.push(Answered {
            subject: C::SUBJECT,
            command: TypeId::of::<C>(),
            route: at,
            peek: route::peek::<C>,
        });
        self
    }

    /// Hears an event, at least once, in order per key.
    ///
    /// One node of a group reads a key at a time; when it stops, dies or falls
    /// silent, another takes over. What a dead node held comes again within
    /// about 40 s: until then newer events of these keys wait, other keys flow.
    ///
    /// A failed event is tried again as [`retry`](Self::retry) says. Then its
    /// key is parked: later events of the key wait in the stream, over restarts
    /// too, until an [`Operator`](crate::call::Operator) or the command
    /// `callboard parked` says to try again, skip or amend it; then all that
    /// waits comes in order. Where order means nothing, see
    /// [`Retry::then_discard`]. What is discarded or cannot be read becomes a
    /// dead letter, and its key goes on. What a newer program wrote is left to a
    /// node with that program; while there is none it fails here, and its key is
    /// parked until it is retried.
    ///
    /// An actor that is new begins with the oldest event of the domain's stream,
    /// unless it says [`from_now`](Self::from_now); one that was there before goes on
    /// where it left off. Its path names its place: one that is renamed, or moves to
    /// another group, is new, unless it says [`formerly`](Self::formerly).
    pub fn on<E: Event, F>(mut self, handler: F) -> Self
    where
        F: AsyncFn(&mut A, E, &Context) -> Result<(), Failure> + Clone + Send + Sync + 'static,
    {
        let at = self.route(E::SUBJECT.as_str(), route::on(handler));
        self.hears.push((E::SUBJECT, at));
        self.reads(E::SUBJECT.as_str(), E::VERSION)
    }

    /// Takes an event out of the mailbox, to end later; its key waits for that.
    pub(crate) fn hear<E: Event, F>(mut self, handler: F) -> Self
    where
        F: AsyncFn(&mut A, E, Heard) + Clone + Send + Sync + 'static,
    {
        let at = self.route(E::SUBJECT.as_str(), taken::hear(handler));
        self.hears.push((E::SUBJECT, at));
        self.reads(E::SUBJECT.as_str(), E::VERSION)
    }

    /// Says up to which version it reads an event type.
    pub(crate) fn reads(mut self, event: &'static str, version: u32) -> Self {
        self.schemas.insert(event, version);
        self
    }

    /// Runs a handler every period, the first time after one period.
    ///
    /// Runs do not pile up: what falls due while one waits or runs is skipped.
    /// With several instances each has its own timer, and so has each node. They
    /// are not durable: what falls due while the node is down does not happen.
    /// For what the group does once, see [`every_durably`](Self::every_durably)
    /// and [`cron`](Self::cron).
    ///
    /// # Panics
    ///
    /// Panics if the period is zero.
    pub fn every<F>(mut self, period: Duration, handler: F) -> Self
    where
        F: AsyncFn(&mut A, &Context) -> Result<(), Failure> + Clone + Send + Sync + 'static,
    {
        assert!(!period.is_zero(), "the period of `every` must not be zero");
        let at = self.route("tick", route::tick(handler));
        self.ticks.push((period, at));
        self
    }

    /// Runs a handler every period, once for all nodes and instances.
    ///
    /// Periods are counted from 1970 in UTC: every six hours is at 0, 6, 12 and
    /// 18 h. See [`cron`](Self::cron) for what else is promised.
    ///
    /// # Panics
    ///
    /// Panics if the period is shorter than a second, or the name not as it must be.
    pub fn every_durably<F>(self, name: &'static str, period: Duration, handler: F) -> Self
    where
        F: AsyncFn(&mut A, &Context) -> Result<(), Failure> + Clone + Send + Sync + 'static,
    {
        assert!(
            period >= Duration::from_secs(1),
            "a durable period is at least a second"
        );
        self.repeat(name, Pattern::Every(period), handler)
    }

    /// Runs a handler at the times of a cron expression in UTC, once for all
    /// nodes and instances: minute, hour, day of the month, month and weekday,
    /// such as `0 3 * * MON-FRI`, or `@hourly`, `@daily`, `@weekly`, `@monthly`.
    ///
    /// Each run is a job of the group: it survives restarts, is tried again as
    /// [`retry`](Self::retry) says and becomes a dead letter at last; the next
    /// run happens all the same. [`Context::due`] tells which run it is, and its
    /// id is the same at every attempt. What fell due while no node of the group
    /// ran is made up for by one run at the start. Runs do not overlap: what
    /// falls due during a run happens once after it.
    ///
    /// The name is one token of `a-z 0-9 - _`, unique in its actor. A run under a
    /// name that is gone from the table is passed over; one whose expression
    /// changed is planned anew when the first node starts with it.
    ///
    /// # Panics
    ///
    /// Panics if the expression cannot be read, or the name is not as it must be.
    pub fn cron<F>(self, name: &'static str, expression: &'static str, handler: F) -> Self
    where
        F: AsyncFn(&mut A, &Context) -> Result<(), Failure> + Clone + Send + Sync + 'static,
    {
        let cron = Cron::read(expression);
        let fault = cron.as_ref().err().map_or("", String::as_str);
        assert!(
            fault.is_empty(),
            "the cron expression `{expression}` {fault}"
        );
        match cron {
            Ok(cron) => self.repeat(name, Pattern::Cron(cron), handler),
            Err(_) => self,
        }
    }

    fn repeat<F>(mut self, name: &'static str, pattern: Pattern, handler: F) -> Self
    where
        F: AsyncFn(&mut A, &Context) -> Result<(), Failure> + Clone + Send + Sync + 'static,
    {
        let is_new = self.repeats.iter().all(|other| other.name != name);
        assert!(
            is_name(name) && is_new,
            "`{name}` cannot name a repetition here"
        );
        let route = self.route("cron", route::tick(handler));
        self.repeats.push(Repeated { name, pattern, route });
        self
    }

    /// Runs a handler before the actor is stopped or restarted in good health;
    /// a crashed state is dropped without it.
    pub fn on_stop<F>(mut self, handler: F) -> Self
    where
        F: AsyncFn(&mut A, &Context) -> Result<(), Failure> + Clone + Send + Sync + 'static,
    {
        self.plan.on_stop = Some(route::tick(handler));
        self
    }

    /// Runs this many of it side by side; messages of one key go to the same one.
    ///
    /// Commands without a key go to the one that has least to do.
    ///
    /// # Panics
    ///
    /// Panics if the count is 0.
    pub fn instances(mut self, count: usize) -> Self {
        assert!(count > 0, "an actor has at least one instance");
        self.instances = count;
        self
    }

    /// Sets when it is started again; always, by default.
    pub const fn restart(mut self, restart: Restart) -> Self {
        self.restart = restart;
        self
    }

    /// Sets how many commands may wait in each mailbox; 1,024 by default.
    /// Those that come on top are answered with 503 at once.
    pub const fn mailbox(mut self, capacity: usize) -> Self {
        self.mailbox = capacity;
        self
    }

    /// Sets how failed events and jobs are tried again.
    pub const fn retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// Lets it begin, when it is new, with the events that are published once its
    /// first node has started, and leave those from before.
    ///
    /// For whom the past means nothing, such as one that writes to customers: by
    /// default an actor hears all of it. One that is there already is where it is.
    pub const fn from_now(mut self) -> Self {
        self.begins = Begins::Now;
        self
    }

    /// Lets it begin, when it is new, with the oldest event, as it does by default.
    pub const fn from_beginning(mut self) -> Self {
        self.begins = Begins::AtTheOldest;
        self
    }

    /// Lets it go on, when it is new, where the actor of another path stood, such as
    /// `orders/desk`: it was renamed, or moved to another group.
    ///
    /// Keys that are parked under that path go over to it. What the other one had
    /// handled out of turn comes again; and while nodes with the other one still run,
    /// both hear what is new: stop these first where handling twice does harm.
    pub fn formerly(mut self, path: impl Into<String>) -> Self {
        self.formerly = Some(path.into());
        self
    }

    /// Sets how long building the state may take; 30 s by default.
    pub const fn start_within(mut self, limit: Duration) -> Self {
        self.plan.start_within = limit;
        self
    }

    /// Sets how long one handler may take; 30 s by default. One that takes
    /// longer is cut off, and its actor is rebuilt.
    pub const fn handle_within(mut self, limit: Duration) -> Self {
        self.plan.handle_within = limit;
        self
    }

    /// Sets how long stopping may take before it is cut off; 5 s by default.
    pub const fn stop_within(mut self, limit: Duration) -> Self {
        self.plan.stop_within = limit;
        self
    }

    /// Lets the tree tell how many messages its state is behind.
    pub(crate) fn lag(mut self, messages: Arc<AtomicU64>) -> Self {
        self.lag = Some(messages);
        self
    }

    /// Says that it keeps journals of sagas under its name, and what these need.
    pub(crate) fn runs_sagas(mut self, sagas: SagaNeeds) -> Self {
        self.sagas = Some(sagas);
        self
    }

    fn route(&mut self, subject: &'static str, run: Run<A>) -> usize {
        self.plan.routes.push((subject, run));
        self.plan.routes.len() - 1
    }

    /// Takes the state's type away, for the tree.
    pub(crate) fn blueprint(self) -> Blueprint {
        let plan = Arc::new(self.plan);
        let mailbox = self.mailbox;
        Blueprint {
            name: self.name,
            answers: self.answers,
            hears: self.hears,
            schemas: self.schemas,
            ticks: self.ticks,
            repeats: self.repeats,
            restart: self.restart,
            instances: self.instances,
            stop_within: plan.stop_within,
            retry: self.retry,
            lag: self.lag,
            sagas: self.sagas,
            begins: self.begins,
            formerly: self.formerly,
            spawn: Box::new(move |seat| cell::spawn(&plan, seat, mailbox)),
        }
    }
}

impl<A> fmt::Debug for Actor<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Actor")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
