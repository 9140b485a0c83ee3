use super::{
    Pace,
    clocks::Clocks,
    wire::{self, Digest, Lives},
};
use crate::{
    bus::{Bus, Message},
    call::Ways,
    message::{Namespace, codec},
    roster::{Beat, Card, JUMP, MAX_CARD, Service, Status},
    supervision::{About, Branch, Live, Says, State},
    telemetry::ROSTER_FORGED_TOTAL,
    time::Clock,
};
use semver::Version;
use serde::Serialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::SystemTime,
};
use tokio::time::Instant;

/// Of how many nodes is told in one go: more would not fit a message.
const DIGEST: usize = 2_000;

/// How many characters of why a group is not well are in a card that is short.
const LONGEST_REASON: usize = 100;

/// A node's part of the mesh; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Mesh(pub(super) Arc<Inner>);

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) bus: Bus,
    pub(super) namespace: Namespace,
    pub(super) ways: Ways,
    pub(super) pace: Pace,
    pub(super) groups: Vec<Own>,
    /// When the node was started, for who asks.
    pub(super) started: SystemTime,
    pub(super) clock: Clock,
    pub(super) clocks: Mutex<Clocks>,
    node: Arc<str>,
    phase: Mutex<Phase>,
    /// What was said last.
    said: Mutex<Card>,
    /// What others said in its name and it has not answered yet: the number of the card,
    /// and one more.
    pub(super) disputed: AtomicU64,
    /// Whether its card tells less than there is: all would be too long.
    is_short: AtomicBool,
}

/// Where a node is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Starting,
    Up,
    Draining,
}

/// One group of the node, as the mesh looks at it.
#[derive(Debug)]
pub(crate) struct Own {
    pub(super) name: String,
    pub(super) version: Version,
    pub(super) about: About,
    pub(super) says: Says,
    pub(super) live: Arc<Live>,
    /// Why its last look found it sick.
    pub(super) found: Mutex<Option<String>>,
    /// How many restarts the last look found.
    pub(super) restarts: AtomicU64,
}

impl Own {
    /// Describes a group that grows; its version is the node's if it has none.
    pub(crate) fn new(
        name: String,
        (about, says): (About, Says),
        live: Arc<Live>,
        version: &Version,
    ) -> Self {
        let own = about
            .version
            .as_deref()
            .and_then(|text| Version::parse(text).ok());
        Self {
            name,
            version: own.unwrap_or_else(|| version.clone()),
            about,
            says,
            live,
            found: Mutex::default(),
            restarts: AtomicU64::new(0),
        }
    }

    /// Notes how many restarts there were; returns how many since the last time.
    pub(super) fn count_restarts(&self) -> u64 {
        let now = restarts(&self.live.branch());
        now.saturating_sub(self.restarts.swap(now, Relaxed))
    }

    fn service(&self, ways: &Ways, phase: Phase) -> Service {
        let found = lock(&self.found).clone();
        let reason = found.or_else(|| trouble(&self.live.branch(), &self.name));
        let (status, reason) = match (phase, reason) {
            (Phase::Starting, _) => (Status::Starting, None),
            (Phase::Draining, _) => (Status::Draining, None),
            (Phase::Up, None) => (Status::Healthy, None),
            (Phase::Up, Some(reason)) => (Status::Sick, Some(reason)),
        };
        let text = |set: &BTreeSet<&str>| set.iter().map(|&text| text.to_owned()).collect();
        let callers = self.domains().into_iter().flat_map(|domain| {
            let callers = ways.traffic.callers(domain);
            callers
                .iter()
                .map(|caller| caller.to_string())
                .collect::<Vec<_>>()
        });
        Service {
            name: self.name.clone(),
            version: self.version.clone(),
            status,
            reason,
            tags: self.about.tags.clone(),
            metadata: self.about.metadata.clone(),
            depends_on: self.about.depends_on.clone(),
            answers: text(&self.says.answers),
            hears: text(&self.says.hears),
            repeats: self.says.repeats.clone(),
            schemas: self.schemas(),
            publishes: ways.traffic.published_by(&self.name),
            calls: ways.traffic.called_by(&self.name),
            callers: callers.collect(),
        }
    }

    /// Returns up to which version it reads each event type.
    fn schemas(&self) -> BTreeMap<String, u32> {
        let known = self.says.schemas.iter();
        known
            .map(|(&event, &version)| (event.to_owned(), version))
            .collect()
    }

    /// Returns the domains whose commands it answers.
    fn domains(&self) -> BTreeSet<&'static str> {
        let domain = |command: &&'static str| command.split('.').next().unwrap_or_default();
        self.says.answers.iter().map(domain).collect()
    }
}

impl Mesh {
    pub(crate) fn new(
        (bus, namespace, node): (Bus, Namespace, Arc<str>),
        (ways, pace): (Ways, Pace),
        groups: Vec<Own>,
        clock: Clock,
    ) -> Self {
        let ttl_ms = u64::try_from(pace.ttl.as_millis()).unwrap_or(u64::MAX);
        let said = Card {
            instance: ways.instance.as_ref().to_owned(),
            node: node.as_ref().to_owned(),
            region: ways.region.as_ref().to_owned(),
            revision: 0,
            ttl_ms,
            services: Vec::new(),
        };
        Self(Arc::new(Inner {
            bus,
            namespace,
            ways,
            pace,
            groups,
            started: clock.now(),
            clock,
            clocks: Mutex::default(),
            node,
            phase: Mutex::new(Phase::Starting),
            said: Mutex::new(said),
            disputed: AtomicU64::new(0),
            is_short: AtomicBool::new(false),
        }))
    }

    /// Returns the node's name.
    pub(super) fn node(&self) -> &Arc<str> {
        &self.0.node
    }

    /// Returns what the node is called in subjects.
    pub(super) fn instance(&self) -> &Arc<str> {
        &self.0.ways.instance
    }

    /// Comes to another phase, and says so.
    pub(crate) async fn enter(&self, phase: Phase) {
        *lock(&self.0.phase) = phase;
        self.refresh().await;
    }

    /// Says the card anew if something has changed.
    pub(super) async fn refresh(&self) {
        let changed = self.renew();
        if changed {
            self.show().await;
        }
    }

    /// Brings the card up to date; returns whether that changed it.
    fn renew(&self) -> bool {
        // Held while it is looked around: of two that look at once, the one that
        // looked first must not speak last.
        let mut said = lock(&self.0.said);
        let phase = *lock(&self.0.phase);
        let groups = self.0.groups.iter();
        let mut services: Vec<_> = groups.map(|own| own.service(&self.0.ways, phase)).collect();
        if self.0.is_short.load(Relaxed) {
            services.iter_mut().for_each(shorten);
        }
        // One without groups is there as well.
        let changed = said.revision == 0 || said.services != services;
        if changed {
            said.services = services;
            said.revision = said.revision.saturating_add(1);
            self.fit(&mut said);
        }
        drop(said);
        changed
    }

    /// Leaves out of a card what is only seen, if it is too long for the others.
    fn fit(&self, card: &mut Card) {
        let is_long = |card: &Card| codec::encode(card).map_or(true, |it| it.len() > MAX_CARD);
        if !is_long(card) {
            return;
        }
        self.0.is_short.store(true, Relaxed);
        card.services.iter_mut().for_each(shorten);
        if is_long(card) {
            tracing::error!(
                limit = MAX_CARD,
                "what this node says of itself is too long, and others do not take it in: have \
                 fewer groups on it, or shorter metadata"
            );
        }
    }

    /// Notes that others said something in the name of this node.
    pub(super) fn dispute(&self, revision: u64) {
        metrics::counter!(ROSTER_FORGED_TOTAL).increment(1);
        let revision = revision.saturating_add(1);
        self.0.disputed.fetch_max(revision, Relaxed);
    }

    /// Says more than anybody else said of this node: others believe the newest.
    pub(super) async fn outgrow(&self) {
        let disputed = self.0.disputed.swap(0, Relaxed);
        if disputed == 0 {
            return;
        }
        {
            let mut said = lock(&self.0.said);
            said.revision = disputed.max(said.revision.saturating_add(1));
        }
        tracing::warn!("others spoke in the name of this node: it says again that it is there");
        self.show().await;
    }

    /// Returns the number of the card that this one has to outgrow, if it is not what the
    /// node said of itself.
    pub(super) fn forged(&self, card: &Card) -> Option<u64> {
        let said = lock(&self.0.said).clone();
        // What is too far ahead nobody else believes either.
        let believed = said.revision..=said.revision.saturating_add(JUMP);
        let is_forged = believed.contains(&card.revision) && *card != said;
        is_forged.then_some(card.revision)
    }

    /// Says the card, to itself first.
    pub(super) async fn show(&self) {
        let card = lock(&self.0.said).clone();
        let subject = wire::card(&self.0.namespace);
        let own = self.instance();
        self.0.ways.roster.hear(card.clone(), Instant::now(), own);
        self.send(subject, &card).await;
    }

    /// Gives a sign of life.
    pub(super) async fn beat(&self) {
        let revision = lock(&self.0.said).revision;
        let (routes, print) = self.0.ways.routes.stamp();
        let instance = self.instance().as_ref().to_owned();
        let policies = self.0.ways.lines.stamp();
        let clock_ms = Some(self.0.clock.unix_ms());
        let beat = Beat { instance, revision, routes, print, policies, clock_ms };
        let roster = &self.0.ways.roster;
        roster.beat(&beat.instance, revision, Instant::now());
        self.send(wire::beat(&self.0.namespace), &beat).await;
    }

    /// Tells all who lives, as far as this node has heard.
    pub(super) async fn tell(&self) {
        let (routes, print) = self.0.ways.routes.stamp();
        let policies = self.0.ways.lines.stamp();
        let known = self.0.ways.roster.page("", usize::MAX);
        for known in known.chunks(DIGEST) {
            let lives = |(card, heard): &(Arc<Card>, Instant)| Lives {
                instance: card.instance.clone(),
                revision: card.revision,
                age_ms: u64::try_from(heard.elapsed().as_millis()).unwrap_or(u64::MAX),
                off_ms: self.clock_off(&card.instance),
            };
            let clock_ms = Some(self.0.clock.unix_ms());
            let by = self.instance().as_ref().to_owned();
            let seen = known.iter().map(lives).collect();
            let digest = Digest { by, routes, print, policies, clock_ms, seen };
            self.send(wire::digest(&self.0.namespace), &digest).await;
        }
    }

    /// Returns whether there are other nodes.
    pub(crate) fn has_others(&self) -> bool {
        self.0.ways.roster.place("", 0).0 > 1
    }

    /// Says that the node is gone.
    pub(crate) async fn leave(&self) {
        let word = wire::Leave { instance: self.instance().as_ref().to_owned() };
        self.0.ways.roster.leave(self.instance(), Instant::now());
        self.send(wire::leave(&self.0.namespace), &word).await;
    }

    /// Sends what others miss only for a while if it is lost.
    pub(super) async fn send<T: Serialize>(&self, subject: String, word: &T) {
        let payload = match codec::encode(word) {
            Ok(payload) => payload,
            Err(error) => return tracing::warn!(subject, %error, "what the node says of itself"),
        };
        if let Err(error) = self.0.bus.send(Message::new(subject, payload)).await {
            tracing::debug!(%error, "the others do not hear of this node now");
        }
    }
}

pub(super) fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Says what is wrong below, if something is.
fn trouble(branch: &Branch, path: &str) -> Option<String> {
    if branch.state == State::Restarting {
        return Some(format!("`{path}` is being started again"));
    }
    let mut below = branch.children.iter();
    below.find_map(|child| trouble(child, &format!("{path}/{}", child.name)))
}

/// Leaves out what is only seen, and most of why it is not well.
fn shorten(service: &mut Service) {
    let Service { publishes, calls, callers, reason, .. } = service;
    for seen in [publishes, calls, callers] {
        seen.clear();
    }
    if let Some(reason) = reason {
        *reason = reason.chars().take(LONGEST_REASON).collect();
    }
}

fn restarts(branch: &Branch) -> u64 {
    u64::from(branch.restarts) + branch.children.iter().map(restarts).sum::<u64>()
}
