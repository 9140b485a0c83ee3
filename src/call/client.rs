use super::{
    Call, CallAll, Cause, Job, JobError, Lines, Parks, Publish, Record, Settings, TellError, Ways,
    job, local, meters::Meters, remote,
};
use crate::{
    bus::{Bus, Stream, StreamConfig, StreamError},
    message::{Command, Event, Namespace},
    policy::{Line, Policies, PoliciesError},
    roster::Roster,
    time::Clock,
};
use bytes::Bytes;
use dashmap::DashMap;
use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::sync::OnceCell;

/// Publishes events and sends commands into one namespace of a bus.
///
/// Handlers have a [`Context`](crate::Context) for this, which adds what the
/// message at hand means for what follows from it. A client is for the code
/// around the actors. It is cheap to clone.
///
/// # Examples
///
/// ```no_run
/// use callboard::{Bus, Client};
/// # use callboard::{Command, Event};
/// # async fn order(placed: impl Event, charge: impl Command) -> Result<(), Box<dyn std::error::Error>> {
/// let bus = Bus::nats("localhost:4222").await?;
/// let shop = Client::new(bus, "shop".parse()?);
/// shop.publish(placed).await?;
/// let reply = shop.call(charge).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    settings: Settings,
    /// The domain that speaks, for `cb-caller` and `ce-source`.
    domain: Arc<str>,
    source: Box<str>,
    streams: DashMap<&'static str, Stream>,
    jobs: DashMap<Box<str>, Stream>,
    parked: OnceCell<Stream>,
    snapped: OnceCell<Stream>,
    meters: Meters,
}

impl Client {
    /// Builds a client of a namespace; all it sends goes over the bus.
    ///
    /// It hears of nobody, so no [routing table](crate::RouteTable) binds it: any
    /// instance gets its commands. For one that follows the routes, start a
    /// [`Node`](crate::Node) that hosts nothing, and take its client.
    pub fn new(bus: Bus, namespace: Namespace) -> Self {
        Self::of(Settings::of_a_guest(bus, namespace), "client")
    }

    /// Sets how many servers of a NATS cluster keep a copy of each stream: as
    /// many as the nodes of the namespace say.
    #[must_use]
    pub fn replicas(self, replicas: usize) -> Self {
        let settings = Settings { replicas, ..self.0.settings.clone() };
        Self::of(settings, &self.0.domain)
    }

    /// Sets how it calls its targets: by a table of its own, with its own breakers,
    /// limits and budgets.
    ///
    /// On a node, [`Node::policies`](crate::Node::policies) does so for all that the
    /// node calls, and keeps replies only as long as events allow: a client alone
    /// does not hear them.
    ///
    /// # Errors
    ///
    /// Returns [`PoliciesError`] if the table contradicts itself.
    pub fn policies(self, table: Policies) -> Result<Self, PoliciesError> {
        table.check()?;
        let settings = self.0.settings.clone();
        let ways = Ways { lines: Lines::new(table), ..settings.ways.clone() };
        let settings = Settings { ways, ..settings };
        Ok(Self::of(settings, &self.0.domain))
    }

    /// Builds the client of a domain on a node.
    pub(crate) fn of(settings: Settings, domain: &str) -> Self {
        let source = format!("/{}/{domain}/{}", settings.namespace, settings.node);
        let meters = Meters::new(settings.ways.traffic.clone(), domain);
        Self(Arc::new(Inner {
            settings,
            domain: domain.into(),
            source: source.into(),
            streams: DashMap::new(),
            jobs: DashMap::new(),
            parked: OnceCell::new(),
            snapped: OnceCell::new(),
            meters,
        }))
    }

    /// Publishes an event; await the result to know that it is stored.
    pub fn publish<E: Event>(&self, event: E) -> Publish<'_, E> {
        Publish::new(self, event, None)
    }

    /// Sends a command and awaits its reply.
    pub fn call<C: Command>(&self, command: C) -> Call<'_, C> {
        Call::new(self, command, None)
    }

    /// Calls many commands, several at a time, under one deadline.
    pub fn call_all<C: Command>(&self, commands: impl IntoIterator<Item = C>) -> CallAll<'_, C> {
        CallAll::new(self, commands, None)
    }

    /// Sends a command as a job, which is done at least once; await the result
    /// to know that it is stored.
    pub fn send<C: Command>(&self, command: C) -> Job<'_, C> {
        Job::new(self, command, None)
    }

    /// Sends a command as a job that is due at a time.
    pub fn send_at<C: Command>(&self, command: C, time: SystemTime) -> Job<'_, C> {
        self.send(command).at(time)
    }

    /// Sends a command as a job that is due so long from now, by this process's clock.
    pub fn send_in<C: Command>(&self, command: C, wait: Duration) -> Job<'_, C> {
        self.send(command).after(wait)
    }

    /// Takes back the job of a command that waits under a
    /// [name](Job::named); returns whether there was one.
    ///
    /// The key is the command's, empty if it has none. If there was none, one whose
    /// sending ended with [`JobError::Unknown`] may still arrive: see
    /// [`named`](Job::named).
    ///
    /// # Errors
    ///
    /// Returns [`JobError`] if the bus cannot take it back, or does not confirm.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future may or may not take it back; doing it again is harmless.
    pub async fn cancel<C: Command>(&self, key: &str, name: &str) -> Result<bool, JobError> {
        job::cancel::<C>(self, key, name).await
    }

    /// Sends a command and awaits nothing: at most once, no answer, to any instance,
    /// whatever the [routes](crate::RouteTable) say.
    ///
    /// Its target's [policy](crate::policy) does not apply either.
    ///
    /// # Errors
    ///
    /// Returns [`TellError`] if the command could not be handed over: to the
    /// mailbox if its actor lives in this process, else to the bus.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future may or may not send.
    pub async fn tell<C: Command>(&self, command: C) -> Result<(), TellError> {
        self.tell_because(command, None).await
    }

    pub(crate) async fn tell_because<C: Command>(
        &self,
        command: C,
        cause: Option<&Cause>,
    ) -> Result<(), TellError> {
        self.note(&command);
        match self.door::<C>() {
            Some(door) => local::tell(self, &door, command, cause),
            None => remote::tell(self, command, cause).await,
        }
    }

    /// Returns the bus below.
    pub fn bus(&self) -> &Bus {
        &self.0.settings.bus
    }

    /// Returns the namespace that it speaks in.
    pub fn namespace(&self) -> &Namespace {
        &self.0.settings.namespace
    }

    /// Returns who is there, as the node has heard; a client without a node hears
    /// of nobody.
    pub fn roster(&self) -> Roster {
        self.0.settings.ways.roster.clone()
    }

    pub(crate) fn ways(&self) -> &Ways {
        &self.0.settings.ways
    }

    pub(crate) fn clock(&self) -> Clock {
        self.0.settings.clock
    }

    /// Returns the name of the node that it is on.
    pub(crate) fn node(&self) -> &str {
        &self.0.settings.node
    }

    /// Returns how many copies of a stream the node keeps.
    pub(crate) fn copies(&self) -> usize {
        self.0.settings.replicas
    }

    /// Whether this is a replay in which what writes a journal dies here.
    pub(crate) fn crashes_here(&self) -> bool {
        let record = self.0.settings.record.as_ref();
        record.is_some_and(Record::crashes_here)
    }

    /// Tells a replay whether something outside of memory will be tried again.
    pub(crate) fn note_retrying(&self, is_retrying: bool, what: impl FnOnce() -> String) {
        if let Some(record) = &self.0.settings.record {
            record.note_retrying(is_retrying, what());
        }
    }

    pub(crate) fn domain(&self) -> &Arc<str> {
        &self.0.domain
    }

    pub(crate) fn source(&self) -> &str {
        &self.0.source
    }

    pub(super) fn meters(&self) -> &Meters {
        &self.0.meters
    }

    /// Returns how a command is called, if it has a policy.
    #[inline]
    pub(super) fn line<C: Command>(&self) -> Option<Arc<Line>> {
        self.0.settings.ways.lines.of::<C>()
    }

    /// Notes a command if this is a replay.
    pub(super) fn note<C: Command>(&self, command: &C) {
        if let Some(record) = &self.0.settings.record {
            record.note(command);
        }
    }

    /// Notes a command that is known by its name only, if this is a replay.
    pub(crate) fn note_named(&self, subject: &str, payload: &Bytes) {
        if let Some(record) = &self.0.settings.record {
            record.note_named(subject, payload);
        }
    }

    /// Notes a job if this is a replay.
    pub(super) fn note_job<C: Command>(&self, command: &C, due: SystemTime) {
        if let Some(record) = &self.0.settings.record {
            record.note_job(command, due);
        }
    }

    /// Returns the way to the command's actor, if it lives in this process.
    pub(super) fn door<C: Command>(&self) -> Option<Arc<super::Door>> {
        if !self.0.settings.prefer_local {
            return None;
        }
        self.0.settings.doors.of::<C>()
    }

    /// Opens the stream of a domain's events, and makes it if it is not there.
    ///
    /// A domain that keeps no other database reads its own past here.
    ///
    /// # Errors
    ///
    /// Returns [`StreamError`] if the stream is there with other settings, or
    /// the bus cannot open it.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future may or may not make the stream; opening it again is harmless.
    pub async fn events(&self, domain: &'static str) -> Result<Stream, StreamError> {
        if let Some(stream) = self.0.streams.get(domain) {
            return Ok(stream.clone());
        }
        let stream = self.open(self.event_stream(domain)).await?;
        self.0.streams.insert(domain, stream.clone());
        Ok(stream)
    }

    /// Opens the stream of a domain's jobs, and makes it if it is not there.
    pub(crate) async fn jobs(&self, domain: &str) -> Result<Stream, StreamError> {
        if let Some(stream) = self.0.jobs.get(domain) {
            return Ok(stream.clone());
        }
        let stream = self.open(self.job_stream(domain)).await?;
        self.0.jobs.insert(domain.into(), stream.clone());
        Ok(stream)
    }

    /// Describes the stream of a domain's jobs.
    pub(crate) fn job_stream(&self, domain: &str) -> StreamConfig {
        StreamConfig::jobs(self.namespace(), domain).replicas(self.0.settings.replicas)
    }

    /// Describes the stream of a domain's events.
    pub(crate) fn event_stream(&self, domain: &str) -> StreamConfig {
        StreamConfig::events(self.namespace(), domain).replicas(self.0.settings.replicas)
    }

    /// Opens the stream of snapshots.
    pub(crate) async fn snapshots(&self) -> Result<Stream, StreamError> {
        let open = || self.open(StreamConfig::snapshots(self.namespace()));
        self.0.snapped.get_or_try_init(open).await.cloned()
    }

    /// Opens the records of parked keys.
    pub(crate) async fn parks(&self) -> Result<Parks, StreamError> {
        let open = || self.open(StreamConfig::parked(self.namespace()));
        let stream = self.0.parked.get_or_try_init(open).await?.clone();
        Ok(Parks::new(
            stream,
            self.namespace().clone(),
            self.source().to_owned(),
        ))
    }

    /// Opens the stream of dead letters.
    pub(crate) async fn dead_letters(&self) -> Result<Stream, StreamError> {
        self.open(StreamConfig::dead(self.namespace())).await
    }

    /// Opens a stream, and makes it if it is not there: with as many copies as
    /// the node keeps. A client without a node takes what nodes made.
    pub(super) async fn open(&self, config: StreamConfig) -> Result<Stream, StreamError> {
        let config = config.replicas(self.0.settings.replicas);
        if self.0.settings.is_guest {
            return open_as_declared(self.bus(), config).await;
        }
        self.bus().stream(&config).await
    }
}

/// How many copies a stream can have, the usual ones first.
const COPIES: [usize; 5] = [1, 3, 5, 2, 4];

/// Opens a stream as its nodes declared it: they may keep another number of
/// copies than a new stream would get.
pub(crate) async fn open_as_declared(
    bus: &Bus,
    config: StreamConfig,
) -> Result<Stream, StreamError> {
    let first = match bus.stream(&config).await {
        Err(error @ StreamError::Differs { .. }) => error,
        opened => return opened,
    };
    for copies in COPIES {
        if let Ok(stream) = bus.stream(&config.clone().replicas(copies)).await {
            return Ok(stream);
        }
    }
    Err(first)
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client({} on {})", self.source(), self.bus())
    }
}
