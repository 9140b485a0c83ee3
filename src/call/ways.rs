//! What the clients of one node share to find their way to others.

use super::Lines;
use crate::{roster::Roster, route::Routes};
use dashmap::{DashMap, DashSet};
use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

/// How many callers of a domain are told apart.
const CALLERS: usize = 256;

/// Who is there, who this is, and what has been said so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ways {
    pub(crate) roster: Roster,
    pub(crate) routes: Routes,
    /// How targets are called.
    pub(crate) lines: Lines,
    pub(crate) traffic: Traffic,
    /// What the node is called in subjects; empty without one.
    pub(crate) instance: Arc<str>,
    pub(crate) region: Arc<str>,
}

/// What has gone in and out, by its kind.
#[derive(Clone, Debug, Default)]
pub(crate) struct Traffic(Arc<Seen>);

#[derive(Debug, Default)]
struct Seen {
    tallies: DashMap<&'static str, Arc<Tally>>,
    calls: DashMap<Arc<str>, BTreeSet<&'static str>>,
    published: DashMap<Arc<str>, BTreeSet<&'static str>>,
    callers: DashMap<&'static str, Arc<Callers>>,
}

/// Counts what the handlers of a subject did.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    requests: AtomicU64,
    errors: AtomicU64,
    nanos: AtomicU64,
    last_error: Mutex<String>,
}

/// Who has sent commands to a domain over the bus.
pub(crate) type Callers = DashSet<Arc<str>>;

/// What a tally says at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) requests: u64,
    pub(crate) errors: u64,
    pub(crate) time: Duration,
    pub(crate) last_error: String,
}

impl Traffic {
    /// Returns the tally of a subject.
    pub(crate) fn tally(&self, subject: &'static str) -> Arc<Tally> {
        Arc::clone(&self.0.tallies.entry(subject).or_default())
    }

    /// Says what has been done with a subject.
    pub(crate) fn told(&self, subject: &str) -> Told {
        self.0
            .tallies
            .get(subject)
            .map_or_else(Told::default, |tally| tally.told())
    }

    /// Notes that a domain sends commands to another.
    pub(super) fn calls(&self, domain: &Arc<str>, other: &'static str) {
        self.0
            .calls
            .entry(Arc::clone(domain))
            .or_default()
            .insert(other);
    }

    /// Notes that a domain publishes an event.
    pub(super) fn publishes(&self, domain: &Arc<str>, event: &'static str) {
        self.0
            .published
            .entry(Arc::clone(domain))
            .or_default()
            .insert(event);
    }

    /// Returns where the callers of a domain are noted.
    pub(crate) fn callers(&self, domain: &'static str) -> Arc<Callers> {
        Arc::clone(&self.0.callers.entry(domain).or_default())
    }

    /// Returns the domains that a domain has called.
    pub(crate) fn called_by(&self, domain: &str) -> BTreeSet<String> {
        let called = self.0.calls.get(domain);
        called.map_or_else(BTreeSet::new, |called| {
            called.iter().map(|&to| to.into()).collect()
        })
    }

    /// Returns the events that a domain has published.
    pub(crate) fn published_by(&self, domain: &str) -> BTreeSet<String> {
        let events = self.0.published.get(domain);
        events.map_or_else(BTreeSet::new, |events| {
            events.iter().map(|&it| it.into()).collect()
        })
    }
}

/// Notes a caller, while there is room for one more.
pub(crate) fn note_caller(callers: &Callers, caller: &Arc<str>) {
    if caller.is_empty() || callers.contains(caller) || callers.len() >= CALLERS {
        return;
    }
    callers.insert(Arc::clone(caller));
}

impl Tally {
    /// Counts one that went well.
    pub(crate) fn done(&self, took: Duration) {
        self.requests.fetch_add(1, Relaxed);
        self.nanos
            .fetch_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Relaxed);
    }

    /// Counts one that failed.
    pub(crate) fn failed(&self, took: Duration, why: &str) {
        self.done(took);
        self.errors.fetch_add(1, Relaxed);
        let mut last = self
            .last_error
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        why.clone_into(&mut last);
    }

    fn told(&self) -> Told {
        let last_error = self
            .last_error
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        Told {
            requests: self.requests.load(Relaxed),
            errors: self.errors.load(Relaxed),
            time: Duration::from_nanos(self.nanos.load(Relaxed)),
            last_error,
        }
    }
}
