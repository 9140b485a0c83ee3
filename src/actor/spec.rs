use super::{
    Context, Hosted, Restart, Retry, Seat, cell,
    host::{Factory, Plan},
    route::{self, Run},
};
use crate::{
    call::Answer,
    error::Failure,
    message::{Command, Event, Subject},
};
use bytes::Bytes;
use std::{
    any::{Any, TypeId},
    fmt,
    sync::Arc,
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
    ticks: Vec<(Duration, usize)>,
    restart: Restart,
    instances: usize,
    mailbox: usize,
    retry: Retry,
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
        let factory: Factory<A> = Arc::new(move || {
            let open = open.clone();
            Box::pin(async move { open().await })
        });
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
            ticks: Vec::new(),
            restart: Restart::default(),
            instances: 1,
            mailbox: 1_024,
            retry: Retry::default(),
        }
    }

    /// Answers a command.
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

    /// Hears an event, at least once, in order per key.
    ///
    /// Order holds while one node reads a key, and when one that stops hands
    /// over to another. When a node dies, what it held comes again elsewhere
    /// within 30 s, and newer events may come first.
    ///
    /// An actor that is new begins with the oldest event of the domain's stream,
    /// one that was there before where it left off. Its path names its place: one
    /// that is renamed, or moves to another group, is new.
    ///
    /// A failed event is tried again as [`retry`](Self::retry) says, then it
    /// becomes a dead letter.
    pub fn on<E: Event, F>(mut self, handler: F) -> Self
    where
        F: AsyncFn(&mut A, E, &Context) -> Result<(), Failure> + Clone + Send + Sync + 'static,
    {
        let at = self.route(E::SUBJECT.as_str(), route::on(handler));
        self.hears.push((E::SUBJECT, at));
        self
    }

    /// Runs a handler every period, the first time after one period.
    ///
    /// Runs do not pile up: what falls due while one waits or runs is skipped.
    /// With several instances each has its own timer. Timers are not durable:
    /// what falls due while the node is down does not happen.
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

    /// Sets how failed events are tried again.
    pub const fn retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
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
            ticks: self.ticks,
            restart: self.restart,
            instances: self.instances,
            stop_within: plan.stop_within,
            retry: self.retry,
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

/// A command that an actor answers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answered {
    pub(crate) subject: Subject,
    pub(crate) command: TypeId,
    /// The handler's place in the actor's table.
    pub(crate) route: usize,
    /// Decodes a payload to find its key.
    pub(crate) peek: Peek,
}

pub(crate) type Peek = fn(&Bytes) -> Option<(Box<dyn Any + Send>, String)>;

/// An actor's description without the type of its state.
pub(crate) struct Blueprint {
    pub(crate) name: &'static str,
    pub(crate) answers: Vec<Answered>,
    pub(crate) hears: Vec<(Subject, usize)>,
    pub(crate) ticks: Vec<(Duration, usize)>,
    pub(crate) restart: Restart,
    pub(crate) instances: usize,
    pub(crate) stop_within: Duration,
    pub(crate) retry: Retry,
    pub(crate) spawn: Box<dyn Fn(Seat) -> Hosted + Send>,
}

impl fmt::Debug for Blueprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Blueprint")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
