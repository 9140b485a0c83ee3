use semver::Version;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// How many bytes a card may have as it travels.
pub(crate) const MAX_CARD: usize = 16 * 1024;

/// What a node says of itself, as it travels.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Card {
    /// The node's instance: a new one after every start.
    pub instance: String,
    /// The node's name.
    pub node: String,
    /// Where it runs; empty if nobody said.
    #[serde(default)]
    pub region: String,
    /// Grows with every change of the card.
    pub revision: u64,
    /// After how many milliseconds of silence it is taken for gone.
    pub ttl_ms: u64,
    /// Its groups.
    pub services: Vec<Service>,
}

/// What a node says of one of its groups.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// The group's name.
    pub name: String,
    /// Its version; 0.0.0 if nobody said.
    pub version: Version,
    /// How it is.
    pub status: Status,
    /// Why it is not healthy, if it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Its tags.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub tags: BTreeSet<String>,
    /// What else its program says of it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    /// The domains that it says it needs.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub depends_on: BTreeSet<String>,
    /// The commands that it answers, as `domain.name`.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub answers: BTreeSet<String>,
    /// The events that it hears, as `domain.name`.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub hears: BTreeSet<String>,
    /// What it repeats for all its nodes, each by its actor's path and its name, such as
    /// `bank/clerk/nightly`.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub repeats: BTreeSet<String>,
    /// The schemas that its program reads: each event type, as `domain.name`, and the
    /// newest version that it knows of it, the least of its readers'. Programs from
    /// before this was told say nothing.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub schemas: BTreeMap<String, u32>,
    /// The events that it has published since it started, as `domain.name`.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub publishes: BTreeSet<String>,
    /// The domains whose commands it has sent since it started.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub calls: BTreeSet<String>,
    /// Who has sent it commands over the bus since it started, by the caller's domain.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub callers: BTreeSet<String>,
}

impl Service {
    /// Returns the newest version of an event type, as `domain.name`, that its program
    /// reads; nothing if it reads none, or does not say.
    pub fn reads(&self, event: &str) -> Option<u32> {
        self.schemas.get(event).copied()
    }

    /// Returns the domains whose commands it answers, each once.
    pub(crate) fn domains(&self) -> impl Iterator<Item = &str> {
        let mut last = "";
        let domains = self
            .answers
            .iter()
            .map(|command| command.split('.').next().unwrap_or(""));
        // They are sorted: those of a domain stand together.
        domains.filter(move |domain| std::mem::replace(&mut last, domain) != *domain)
    }
}

/// How an instance of a service is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Status {
    /// Its node is being started.
    Starting,
    /// It works.
    Healthy,
    /// It is there and fails its checks, or its actors are restarted again and again.
    Sick,
    /// It finishes what it has, and takes nothing more.
    Draining,
    /// What a newer program says, and this one does not know: it is not taken for healthy.
    #[serde(other)]
    Unknown,
}

impl Status {
    /// Returns whether it works and takes commands.
    pub const fn is_healthy(self) -> bool {
        matches!(self, Self::Healthy)
    }

    /// Returns the status in one word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Healthy => "healthy",
            Self::Sick => "sick",
            Self::Draining => "draining",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One service on one node, as the roster knows it; cheap to clone.
#[derive(Clone)]
pub struct Instance {
    pub(super) card: Arc<Card>,
    pub(super) at: usize,
    pub(super) pulse: Arc<Pulse>,
}

/// When a node was heard of last; its cards change, and share it.
#[derive(Debug)]
pub(super) struct Pulse(Mutex<Instant>);

impl Pulse {
    pub(super) fn new(heard: Instant) -> Arc<Self> {
        Arc::new(Self(Mutex::new(heard)))
    }

    pub(super) fn last(&self) -> Instant {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that it was heard of; what was heard earlier changes nothing.
    pub(super) fn beat(&self, heard: Instant) {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *last = (*last).max(heard);
    }
}

impl Instance {
    /// Returns what the node says of the service.
    pub fn service(&self) -> &Service {
        &self.card.services[self.at]
    }

    /// Returns what it is called in subjects: new after every start of its node.
    pub fn id(&self) -> &str {
        &self.card.instance
    }

    /// Returns the name of its node.
    pub fn node(&self) -> &str {
        &self.card.node
    }

    /// Returns where it runs; empty if nobody said.
    pub fn region(&self) -> &str {
        &self.card.region
    }

    /// Returns whether it works and takes commands.
    pub fn is_healthy(&self) -> bool {
        self.service().status == Status::Healthy
    }

    /// Returns how long ago its node was heard of.
    pub fn age(&self) -> Duration {
        self.pulse.last().elapsed()
    }
}

impl fmt::Debug for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Service { name, version, status, .. } = self.service();
        write!(f, "{name} {version} on {} ({status})", self.id())
    }
}
