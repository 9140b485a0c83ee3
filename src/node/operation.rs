//! A node's life, from its first check to its last farewell.

use super::{
    NodeError, Profile,
    listeners::Listener,
    presence::{self, Facts, Presence},
    provide,
    running::Handles,
    site::{Plot, Site},
    system::System,
    threads,
};
use crate::{
    actor::Report,
    bus::{Bus, StreamConfig, overlap},
    call::{Client, Doors, Lines, Load, Record, Settings, Ways},
    mesh::{Mesh, Phase},
    message::Namespace,
    supervision::{Group, Intensity, Live, Member, Root, Tree, root},
    time::Clock,
};
use futures_util::future::{join, join_all, try_join_all};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinSet,
    time::{Instant, sleep, timeout, timeout_at},
};

/// How often draining looks whether all is done.
const GLANCE: Duration = Duration::from_millis(5);

/// How long others may take to hear that the node drains.
const GRACE: Duration = Duration::from_millis(100);

/// How long the groups' checks may take before the node is ready without them.
const FIRST_LOOK: Duration = Duration::from_secs(1);

/// How long refusing and handing back what was left over may take.
const FAREWELL: Duration = Duration::from_secs(4);

/// How long closing the connection may take.
const HANG_UP: Duration = Duration::from_secs(3);

/// A node as it is to be, checked.
#[derive(Debug)]
pub(crate) struct Setup {
    pub(super) name: Arc<str>,
    pub(super) namespace: Namespace,
    pub(super) bus: Bus,
    pub(super) groups: Vec<Group>,
    pub(super) intensity: Intensity,
    pub(super) prefer_local: bool,
    pub(super) replicas: usize,
    pub(super) profile: Profile,
    pub(super) declare: bool,
    pub(super) drain_within: Duration,
    pub(super) in_hand: usize,
    pub(super) clock: Clock,
    pub(super) record: Option<Record>,
    pub(super) lines: Lines,
    pub(super) presence: Presence,
}

/// The node's ends of what connects it to its handle.
#[derive(Debug)]
pub(crate) struct Operation {
    pub(crate) stopping: oneshot::Receiver<()>,
    pub(crate) ended: watch::Sender<Option<Result<(), Arc<NodeError>>>>,
}

/// Tells a node's tree as it is when it is asked.
type Told = Arc<dyn Fn() -> Tree + Send + Sync>;

/// A node in full swing.
struct Station {
    bus: Bus,
    /// The connection of what the system says.
    apart: Bus,
    root: Root,
    plots: Vec<Plot>,
    live: Vec<Arc<Live>>,
    reports: mpsc::Receiver<Report>,
    /// Hears when a connection is gone for good.
    lost: mpsc::Receiver<String>,
    drain_within: Duration,
    /// How long its groups may take to stop.
    groups_within: Duration,
    /// Answers what is asked of the node itself.
    system: JoinSet<()>,
    /// Its part of the mesh; a replay has none.
    mesh: Option<Mesh>,
}

/// Runs a node on this thread until it is told to stop or gives up, and returns
/// how it ended; nothing if it never ran.
pub(crate) async fn operate(
    plan: Setup,
    sites: Vec<Site>,
    mut stopping: oneshot::Receiver<()>,
    ready: oneshot::Sender<Result<Handles, NodeError>>,
) -> Option<Result<(), Arc<NodeError>>> {
    let name = Arc::clone(&plan.name);
    let (mut station, handles) = match Station::open(plan, &sites).await {
        Ok(opened) => opened,
        Err(error) => {
            // Who started it may have stopped waiting.
            ready.send(Err(error)).ok();
            return None;
        }
    };
    tracing::info!(node = &*name, bus = %station.bus, "the node is ready");
    if ready.send(Ok(handles)).is_err() {
        station.close().await;
        return None;
    }
    let end = tokio::select! {
        _ = &mut stopping => {
            station.close().await;
            Ok(())
        }
        report = station.reports.recv() => {
            let reason = report.map_or_else(|| "its root is gone".to_owned(), |report| report.reason);
            tracing::error!(node = &*name, reason, "the node gives up");
            // Its actors have stopped: there is nothing to wait for.
            station.hang_up().await;
            Err(Arc::new(NodeError::GaveUp { reason }))
        }
        reason = broken((&station.bus, &station.apart), &mut station.lost) => {
            tracing::error!(node = &*name, reason, "the node gives up");
            station.close().await;
            Err(Arc::new(NodeError::GaveUp { reason }))
        }
    };
    tracing::info!(node = &*name, "the node has stopped");
    Some(end)
}

impl Station {
    async fn open(plan: Setup, sites: &[Site]) -> Result<(Self, Handles), NodeError> {
        let bus = plan.bus.reopen().await?;
        refuse_captured(&bus, &plan.namespace).await?;
        let survives = plan.profile.check(&bus, plan.replicas)?;
        tracing::info!(node = &*plan.name, profile = %plan.profile, survives, "what lasts");
        let (mut bus, mut around) = (bus, plan.bus.clone());
        if !plan.declare {
            provide::compare(&plan.needs()).await?.complete()?;
            (bus, around) = (bus.provisioned(), around.provisioned());
        }
        let settings = plan.settings(bus);
        // The program around the node has its own connection and runtime.
        let outside = Settings { bus: around, record: None, ..settings.clone() };
        let (mut station, tree) = Self::build(plan, sites, settings).await?;
        if let Err(reason) = station.root.start().await {
            station.hang_up().await;
            return Err(NodeError::Start { reason });
        }
        for plot in &station.plots {
            if let Err(error) = plot.open().await {
                station.close().await;
                return Err(error);
            }
        }
        if let Some(mesh) = &station.mesh {
            mesh.look(FIRST_LOOK).await;
            mesh.enter(Phase::Up).await;
        }
        let stop_limit = station.stop_limit();
        Ok((
            station,
            Handles { client: Client::of(outside, "client"), tree, stop_limit },
        ))
    }

    /// Plants all groups, and answers what is asked of the node; nothing is started.
    async fn build(
        plan: Setup,
        sites: &[Site],
        settings: Settings,
    ) -> Result<(Self, Told), NodeError> {
        // One more place: the node's own group stands before the others.
        let (report, reports) = mpsc::channel(2 * plan.groups.len() + 3);
        let (losing, lost) = mpsc::channel(1);
        let (mut members, mut plots) = (Vec::new(), Vec::new());
        let facts: Vec<_> = plan.groups.iter().map(Facts::of).collect();
        let listeners = plan.listeners();
        for (place, group) in plan.groups.into_iter().enumerate() {
            let site = &sites[place % sites.len()];
            let (member, plot) = site
                .plant(group, &settings, place + 1, (&report, &losing))
                .await?;
            members.push(member);
            plots.push(plot);
        }
        open_streams(&settings, &plots, &listeners).await?;
        let groups_within = Member::stop_limits(&members);
        let live = members.iter().map(Member::live);
        let live: Vec<_> = live.map(Arc::clone).collect();
        // What the system says goes its own way: a message that breaks the others' connection,
        // or one of theirs that breaks theirs, is no trouble of the other.
        let apart = Settings { bus: settings.bus.reopen_screened().await?, ..settings.clone() };
        let mesh = presence::mesh(&apart, &plan.presence, facts, &live);
        let own = presence::own_group(&apart, mesh.as_ref());
        let (own, plot) = sites[0].plant(own, &apart, 0, (&report, &losing)).await?;
        let tree = tell(
            &settings,
            &live,
            mesh.is_some().then(|| Arc::clone(own.live())),
        );
        members.insert(0, own);
        plots.push(plot);
        let system =
            System::open(&apart.bus, &plan.namespace, &plan.name, Arc::clone(&tree)).await?;
        let mut serving = JoinSet::new();
        serving.spawn_local(system.serve());
        let (parent, end) = mpsc::channel(1);
        let station = Self {
            bus: settings.bus,
            apart: apart.bus,
            root: root(members, plan.intensity, reports, parent),
            plots,
            live,
            reports: end,
            lost,
            drain_within: plan.drain_within,
            groups_within,
            system: serving,
            mesh,
        };
        Ok((station, tree))
    }

    /// Returns how long stopping takes at most, unless the node's own thread is blocked.
    fn stop_limit(&self) -> Duration {
        let parts = [
            GRACE,
            self.drain_within,
            self.groups_within,
            FAREWELL,
            HANG_UP,
            threads::PATIENCE,
        ];
        parts
            .into_iter()
            .fold(Duration::ZERO, Duration::saturating_add)
    }

    /// Drains and stops, within the drain limit and what each child may take.
    async fn close(mut self) {
        let deadline = Instant::now() + self.drain_within;
        if let Some(mesh) = &self.mesh {
            mesh.enter(Phase::Draining).await;
            // Until the others have heard it they choose this node.
            if mesh.has_others() {
                sleep(GRACE.min(self.drain_within)).await;
            }
        }
        if !self.close_plots(deadline).await {
            tracing::warn!("events at hand did not end in time; they will be delivered again");
        }
        self.emptied(deadline).await;
        self.root.stop().await;
        self.hang_up().await;
    }

    /// Refuses and hands back what is left over, then closes the connection.
    async fn hang_up(mut self) {
        self.root.close().await;
        if let Some(mesh) = &self.mesh {
            mesh.leave().await;
        }
        // Who starts a node of this name next must not meet this one.
        self.system.shutdown().await;
        let deadline = Instant::now() + FAREWELL;
        self.close_plots(deadline).await;
        self.emptied(deadline).await;
        let closing = join(self.bus.close(), self.apart.close());
        if timeout(HANG_UP, closing).await.is_err() {
            tracing::warn!("the connection did not close in time");
        }
    }

    /// Lets nothing more in; returns whether the events at hand ended in time.
    async fn close_plots(&self, deadline: Instant) -> bool {
        let closing = join_all(self.plots.iter().map(Plot::close));
        timeout_at(deadline, closing).await.is_ok()
    }

    /// Waits until no message is left in a mailbox.
    async fn emptied(&self, deadline: Instant) {
        while self.live.iter().any(|live| live.depth() > 0) && Instant::now() < deadline {
            sleep(GLANCE).await;
        }
    }
}

impl Setup {
    /// Checks names, and that every command and domain has one answerer.
    pub(super) fn check(&self) -> Result<(), NodeError> {
        let mut answerers = BTreeMap::new();
        let mut owners: BTreeMap<&str, &str> = BTreeMap::new();
        let mut names = std::collections::HashSet::new();
        for group in &self.groups {
            if !names.insert(group.name()) {
                let path = group.name().to_owned();
                return Err(crate::supervision::GroupError::NameTaken { path }.into());
            }
            let mut own = BTreeMap::new();
            group.check_under("", &mut own)?;
            for (command, path) in own {
                let domain = command.domain();
                if let Some(first) = owners.insert(domain, group.name())
                    && first != group.name()
                {
                    let (first, second) = (first.to_owned(), group.name().to_owned());
                    return Err(NodeError::TwoGroups { domain: domain.to_owned(), first, second });
                }
                answerers.insert(command, path);
            }
        }
        Ok(presence::refuse_much(&self.groups)?)
    }

    /// Makes it play on a virtual clock, with its commands noted.
    #[cfg(feature = "test-util")]
    pub(crate) fn replayed(mut self, clock: Clock, record: Record) -> Self {
        self.clock = clock;
        self.record = Some(record);
        self
    }

    fn settings(&self, bus: Bus) -> Settings {
        Settings {
            bus,
            namespace: self.namespace.clone(),
            node: Arc::clone(&self.name),
            clock: self.clock,
            doors: Doors::default(),
            prefer_local: self.prefer_local,
            replicas: self.replicas,
            is_guest: false,
            load: Load::new(self.in_hand),
            record: self.record.clone(),
            ways: Ways {
                instance: format!("{}-{:08x}", self.name, fastrand::u32(..)).into(),
                region: self.presence.region.as_str().into(),
                lines: self.lines.clone(),
                ..Ways::default()
            },
        }
    }
}

/// Waits until the node's bus, or that of one of its groups, carries nothing any
/// more, and returns why.
async fn broken((bus, apart): (&Bus, &Bus), lost: &mut mpsc::Receiver<String>) -> String {
    tokio::select! {
        reason = bus.ended() => reason,
        reason = apart.ended() => reason,
        Some(reason) = lost.recv() => reason,
    }
}

/// Refuses streams that capture what is answered directly.
async fn refuse_captured(bus: &Bus, namespace: &Namespace) -> Result<(), NodeError> {
    let requests = namespace.requests();
    for stream in bus.streams().await? {
        let captured = stream
            .subjects
            .iter()
            .find(|subject| requests.iter().any(|request| overlap(request, subject)));
        if let Some(subject) = captured {
            return Err(NodeError::Captured { stream: stream.name, subject: subject.clone() });
        }
    }
    Ok(())
}

/// Opens the streams that the groups speak and hear on, so that a wrong one is
/// known before anything runs, and makes the places of listeners that are new.
async fn open_streams(
    settings: &Settings,
    plots: &[Plot],
    listeners: &[Listener],
) -> Result<(), NodeError> {
    let (namespace, replicas) = (&settings.namespace, settings.replicas);
    let domains: std::collections::BTreeSet<_> = plots
        .iter()
        .flat_map(|plot| plot.domains.iter().chain(&plot.hears))
        .collect();
    for domain in domains {
        let config = StreamConfig::events(namespace, domain).replicas(replicas);
        settings.bus.stream(&config).await?;
    }
    // Also before there is a job: whoever sends one with a plain client makes no stream.
    for domain in plots.iter().flat_map(|plot| &plot.jobs) {
        let config = StreamConfig::jobs(namespace, domain).replicas(replicas);
        settings.bus.stream(&config).await?;
    }
    // Those of which operators write the first record, and make none themselves.
    for config in [
        StreamConfig::dead(namespace),
        StreamConfig::parked(namespace),
        StreamConfig::skipped(namespace),
    ] {
        settings.bus.stream(&config.replicas(replicas)).await?;
    }
    // Before anything is published here.
    let client = Client::of(settings.clone(), "node");
    let settling = listeners.iter().map(|listener| listener.settle(&client));
    try_join_all(settling).await?;
    Ok(())
}

/// Tells the groups, the node's own last.
fn tell(settings: &Settings, live: &[Arc<Live>], own: Option<Arc<Live>>) -> Told {
    let live: Vec<_> = live.iter().cloned().chain(own).collect();
    let (node, bus) = (settings.node.to_string(), settings.bus.to_string());
    Arc::new(move || Tree {
        node: node.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        bus: bus.clone(),
        groups: live.iter().map(|live| live.branch()).collect(),
    })
}
