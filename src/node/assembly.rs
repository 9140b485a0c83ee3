use super::{
    NodeError, Plan, Profile, Running, StrandedSaga,
    operation::Setup,
    presence::{Presence, refuse_reserved},
    provide, review, threads,
};
#[cfg(feature = "test-util")]
use crate::saga::CrashPoint;
use crate::{
    bus::Bus,
    call::{Lines, Record},
    mesh::Pace,
    message::{Namespace, is_name},
    policy::{Policies, PoliciesError},
    route::RouteTable,
    supervision::{Group, Intensity},
    time::Clock,
    version,
};
use std::time::Duration;
use tokio::sync::oneshot;

/// A process's part of the system: groups on a bus.
///
/// A node runs on threads of its own, so it fits into any tokio program, and a
/// busy actor does not hold up the program around it.
///
/// # Examples
///
/// ```
/// use callboard::{Bus, Group, Node};
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// let node = Node::new("shop-1", Bus::embedded()).namespace("shop").group(Group::new("orders"));
/// node.run_until(async { /* the program's own work */ }).await?;
/// # Ok::<(), callboard::NodeError>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[must_use = "a node does nothing until it is started"]
pub struct Node {
    name: String,
    namespace: String,
    bus: Bus,
    groups: Vec<Group>,
    intensity: Intensity,
    prefer_local: bool,
    replicas: usize,
    profile: Profile,
    declare: bool,
    threads: usize,
    drain_within: Duration,
    in_hand: usize,
    record: Option<Record>,
    policies: Policies,
    presence: Presence,
}

impl Node {
    /// Describes a node without groups.
    ///
    /// The name is one token of `a-z 0-9 - _`, unique in its namespace.
    pub fn new(name: impl Into<String>, bus: Bus) -> Self {
        Self {
            name: name.into(),
            namespace: Namespace::default().as_str().to_owned(),
            bus,
            groups: Vec::new(),
            intensity: Intensity::default(),
            prefer_local: true,
            replicas: 1,
            profile: Profile::default(),
            declare: true,
            threads: 1,
            drain_within: Duration::from_secs(10),
            in_hand: 10_000,
            record: None,
            policies: Policies::new(),
            presence: Presence::default(),
        }
    }

    /// Sets the first token of all its subjects; `callboard` by default.
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = namespace.into();
        self
    }

    /// Adds a group to the right of the others.
    pub fn group(mut self, group: Group) -> Self {
        self.groups.push(group);
        self
    }

    /// Sets how many restarts of whole groups are fine within a period; one
    /// more, and the node ends with [`NodeError::GaveUp`]. 10 in 10 s by default.
    pub const fn intensity(mut self, restarts: u32, period: Duration) -> Self {
        self.intensity = Intensity { restarts, period };
        self
    }

    /// Sets whether commands to groups of this node skip bus and codec; they do
    /// by default. Deadlines, errors and supervision are the same either way.
    pub const fn prefer_local(mut self, prefer: bool) -> Self {
        self.prefer_local = prefer;
        self
    }

    /// Sets how many servers keep a copy of each stream; one by default.
    pub const fn replicas(mut self, replicas: usize) -> Self {
        self.replicas = replicas;
        self
    }

    /// Sets what must survive; [`Profile::Fast`] by default. The node checks it
    /// when it starts, and says it in the log.
    pub const fn profile(mut self, profile: Profile) -> Self {
        self.profile = profile;
        self
    }

    /// Sets whether starting makes the streams that are missing; it does by
    /// default. Where nodes may not, [`apply`](Self::apply) is for who may.
    pub const fn declare(mut self, declare: bool) -> Self {
        self.declare = declare;
        self
    }

    /// Sets how many threads host the groups, in turn; one by default.
    ///
    /// Neighbours on a thread talk fastest: a hop between threads can cost more
    /// than the work it hands over. Add threads for groups that keep one busy.
    ///
    /// # Panics
    ///
    /// Panics if the count is 0.
    pub const fn threads(mut self, count: usize) -> Self {
        assert!(count > 0, "a node has at least one thread");
        self.threads = count;
        self
    }

    /// Sets how many commands from the bus it may have in hand at once, waiting
    /// ones and all; 10,000 by default.
    ///
    /// Those on top are answered with 503 and when to come again, at once and
    /// before they cost anything. What actors ask of others in the same process, and
    /// what is asked of the node itself, always gets through.
    ///
    /// # Panics
    ///
    /// Panics if the count is 0.
    pub const fn in_hand(mut self, commands: usize) -> Self {
        assert!(commands > 0, "a node takes at least one command at a time");
        self.in_hand = commands;
        self
    }

    /// Sets how long stopping waits for the messages at hand; 10 s by default.
    pub const fn drain_within(mut self, limit: Duration) -> Self {
        self.drain_within = limit;
        self
    }

    /// Lets the runners of its sagas stop short at a place, for tests.
    #[cfg(feature = "test-util")]
    pub fn crash_at(mut self, point: &CrashPoint) -> Self {
        self.record = Some(point.record());
        self
    }

    /// Sets how targets are called; as they are, by default.
    ///
    /// It is for all that the node's groups and its client call, and is the node's
    /// own: a table that is [set](crate::breaker::set_policies) for all nodes takes
    /// its place, whenever the node starts. One with a version above 0 is such a
    /// table, for all nodes that have an older one. See [`policy`](crate::policy).
    pub fn policies(mut self, table: Policies) -> Self {
        self.policies = table;
        self
    }

    /// Says where it runs, for who prefers what is near; nothing by default.
    pub fn region(mut self, region: impl Into<String>) -> Self {
        self.presence.region = region.into();
        self
    }

    /// Says which version of the program this is, for its groups that have none
    /// of their own; 0.0.0 by default.
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.presence.version = version.into();
        self
    }

    /// Sets the routing table that it starts with, of the version that it says, or 1; a
    /// newer one that other nodes have takes its place.
    pub fn routes(mut self, table: RouteTable) -> Self {
        self.presence.routes = Some(table);
        self
    }

    /// Sets how often it says that it lives, and after how much silence others
    /// take it for gone; 10 s and 30 s by default.
    ///
    /// What says so shares a thread with groups, the first among them: a handler
    /// there that blocks the thread for that long, instead of awaiting, makes the
    /// node gone for others while it runs. Leave what blocks to
    /// `tokio::task::spawn_blocking`.
    ///
    /// # Panics
    ///
    /// Panics if the heartbeat is shorter than 300 ms, or the silence shorter
    /// than 1 s or than two heartbeats, or longer than an hour.
    pub fn heartbeat(mut self, every: Duration, silence: Duration) -> Self {
        assert!(
            every >= Pace::SHORTEST && silence >= Pace::SHORTEST_TTL && silence / 2 >= every,
            "a heartbeat is at least 300 ms, and silence 1 s and two heartbeats"
        );
        assert!(
            silence <= Pace::LONGEST_TTL,
            "others wait for an hour at most, however long the silence is to be"
        );
        self.presence.pace = Pace { heartbeat: every, ttl: silence, ..self.presence.pace };
        self
    }

    /// Sets how often the groups' own checks run; every 10 s by default.
    ///
    /// # Panics
    ///
    /// Panics if the time is zero.
    pub const fn check_every(mut self, time: Duration) -> Self {
        assert!(!time.is_zero(), "checks need time between them");
        self.presence.pace.checks = time;
        self
    }

    /// Compares what the groups need of the bus with what is there; changes nothing.
    ///
    /// # Errors
    ///
    /// Returns [`NodeError`] if the description is flawed, or the bus does not answer.
    pub async fn plan(self) -> Result<Plan, NodeError> {
        let needs = self.setup()?.needs();
        provide::compare(&needs).await
    }

    /// Makes what the groups need of the bus and is missing; what is there with
    /// other settings is left as it is, and told.
    ///
    /// Doing it again does nothing.
    ///
    /// # Errors
    ///
    /// Returns [`NodeError`] if the description is flawed, or the bus refuses.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future may leave a part of it made; doing it again is harmless.
    pub async fn apply(self) -> Result<Plan, NodeError> {
        let needs = self.setup()?.needs();
        provide::apply(&needs).await
    }

    /// Runs the code of all its sagas over the journals of those that live, and
    /// returns those that could not go on with it; for before a deployment.
    ///
    /// No step is taken and nothing is written. What turns back already needs no
    /// code, and is left out.
    ///
    /// # Errors
    ///
    /// Returns [`NodeError`] if the description is flawed, or journals cannot be read.
    ///
    /// # Cancel safety
    ///
    /// Safe: nothing is changed.
    pub async fn check(self) -> Result<Vec<StrandedSaga>, NodeError> {
        review::review(self.setup()?).await
    }

    /// Starts the node, and returns once every actor is ready and the bus delivers.
    ///
    /// # Errors
    ///
    /// Returns [`NodeError`] if the description is flawed, the bus is not as it
    /// must be, or an actor does not start; then nothing is left running.
    ///
    /// # Cancel safety
    ///
    /// Safe: a node whose starting is given up is stopped.
    pub async fn start(self) -> Result<Running, NodeError> {
        let threads = self.threads;
        let setup = self.setup()?;
        let (running, operation) = Running::new();
        let (ready, started) = oneshot::channel();
        threads::launch(setup, threads, operation, ready)?;
        let outcome = started
            .await
            .map_err(|_| NodeError::Thread { reason: "ended while the node started".to_owned() })?;
        Ok(running.with(outcome?))
    }

    /// Runs the node until a future is done, then drains and stops it.
    ///
    /// # Errors
    ///
    /// Returns [`NodeError`] if the node does not start, or gives up before.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future stops the node as fast as it can, in the background.
    pub async fn run_until(self, shutdown: impl Future) -> Result<(), NodeError> {
        let mut running = self.start().await?;
        tokio::select! {
            _ = shutdown => {}
            () = running.ended() => {}
        }
        running.stop().await
    }

    /// Checks what can be checked before anything runs.
    pub(crate) fn setup(self) -> Result<Setup, NodeError> {
        if !is_name(&self.name) {
            return Err(NodeError::Name { name: self.name });
        }
        let namespace = Namespace::new(&self.namespace)?;
        refuse_reserved(&self.groups)?;
        self.policies.check()?;
        version::check_start(self.policies.version()).map_err(PoliciesError::from)?;
        let setup = Setup {
            name: self.name.into(),
            namespace,
            bus: self.bus,
            groups: self.groups,
            intensity: self.intensity,
            prefer_local: self.prefer_local,
            replicas: self.replicas,
            profile: self.profile,
            declare: self.declare,
            drain_within: self.drain_within,
            in_hand: self.in_hand,
            clock: Clock::system(),
            record: self.record,
            lines: Lines::new(self.policies),
            presence: self.presence.checked()?,
        };
        setup.check()?;
        Ok(setup)
    }
}
