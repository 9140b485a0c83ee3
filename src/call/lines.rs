use super::by_type::ByType;
use crate::{
    message::{Command, Subject},
    policy::{Breaker, Changes, Line, Policies, PoliciesError, Policy, Standing, changes, renewed},
    route::hash,
    version,
};
use dashmap::DashMap;
use std::{
    any::TypeId,
    collections::BTreeSet,
    sync::{
        Arc, PoisonError, RwLock, RwLockReadGuard,
        atomic::{AtomicBool, Ordering},
    },
};
use tokio::{sync::watch, time::Instant};

/// The policies of a node's callers, perhaps none, and what is known of each target; cheap to
/// clone, and all clones are one.
#[derive(Clone, Debug)]
pub(crate) struct Lines(Arc<Known>);

#[derive(Debug)]
struct Known {
    /// Whether there is any policy: all that a call without one looks at.
    any: AtomicBool,
    held: RwLock<Held>,
    /// What was looked up for each type of command; types share a subject's line.
    types: ByType<Option<Arc<Line>>>,
    names: DashMap<&'static str, Arc<Line>>,
    /// The breakers of whole domains.
    domains: DashMap<&'static str, Breaker>,
    changes: Changes,
    /// Whether any policy limits what callees take.
    accepting: AtomicBool,
    /// Goes up when other domains' events may matter.
    heeded: watch::Sender<u64>,
}

#[derive(Debug)]
struct Held {
    table: Policies,
    /// What tells it from others.
    stamp: (u64, u64),
}

impl Default for Lines {
    fn default() -> Self {
        Self::new(Policies::new())
    }
}

impl Lines {
    pub(crate) fn new(table: Policies) -> Self {
        Self(Arc::new(Known {
            any: AtomicBool::new(!table.is_empty()),
            accepting: AtomicBool::new(table.accepts_less()),
            held: RwLock::new(Held { stamp: stamp(&table), table }),
            types: ByType::default(),
            names: DashMap::new(),
            domains: DashMap::new(),
            changes: changes(),
            heeded: watch::Sender::new(0),
        }))
    }

    /// Returns what a command is called by, if it has a policy.
    #[inline]
    pub(super) fn of<C: Command>(&self) -> Option<Arc<Line>> {
        if !self.any() {
            return None;
        }
        self.find::<C>()
    }

    fn find<C: Command>(&self) -> Option<Arc<Line>> {
        if let Some(known) = self.0.types.get(&TypeId::of::<C>()) {
            return known.clone();
        }
        // Held while the type is noted: a new table must not come between.
        let held = self.held();
        let line = self.open(&held.table, C::SUBJECT);
        self.0.types.insert(TypeId::of::<C>(), line.clone());
        drop(held);
        line
    }

    /// Returns the line of a command that is answered here, if a policy may limit
    /// what is taken of it.
    pub(crate) fn accepting(&self, subject: Subject) -> Option<Arc<Line>> {
        if !self.0.accepting.load(Ordering::Relaxed) {
            return None;
        }
        if let Some(line) = self.0.names.get(subject.as_str()) {
            return Some(Arc::clone(&line));
        }
        let held = self.held();
        self.open(&held.table, subject)
    }

    /// Returns whether any target has a policy.
    pub(crate) fn any(&self) -> bool {
        self.0.any.load(Ordering::Relaxed)
    }

    /// Returns the table.
    pub(crate) fn table(&self) -> Policies {
        self.held().table.clone()
    }

    /// Returns what tells its table from others, the newer being the greater.
    pub(crate) fn stamp(&self) -> (u64, u64) {
        self.held().stamp
    }

    /// Takes a table in the place of the one that it was made from, or of whatever is
    /// there; returns its version.
    ///
    /// # Errors
    ///
    /// Returns [`PoliciesError`] if the table is flawed, or another has come since;
    /// then all stays as it is.
    pub(crate) fn set(
        &self,
        table: Policies,
        made_from: Option<u64>,
    ) -> Result<u64, PoliciesError> {
        let mut held = self.0.held.write().unwrap_or_else(PoisonError::into_inner);
        let version = version::next(made_from, held.table.version())?;
        let table = table.numbered(version);
        table.check()?;
        self.put(&mut held, table);
        drop(held);
        self.0.heeded.send_modify(|version| *version += 1);
        Ok(version)
    }

    /// Takes a table that another node goes by, if it is newer; of two of one
    /// version, all nodes take the same.
    pub(crate) fn adopt(&self, table: Policies) -> bool {
        let mut held = self.0.held.write().unwrap_or_else(PoisonError::into_inner);
        if stamp(&table) <= held.stamp || table.check().is_err() {
            return false;
        }
        self.put(&mut held, table);
        drop(held);
        self.0.heeded.send_modify(|version| *version += 1);
        true
    }

    fn held(&self) -> RwLockReadGuard<'_, Held> {
        self.0.held.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes tables. What is called by the same policy as before goes on as it
    /// was, and so does each part of a policy that stays the same.
    fn put(&self, held: &mut Held, table: Policies) {
        let known: Vec<_> = self.0.names.iter().map(|line| line.subject).collect();
        for subject in known {
            let Some(policy) = table.of(subject) else {
                self.0.names.remove(subject.as_str());
                continue;
            };
            let before = self
                .0
                .names
                .get(subject.as_str())
                .map(|line| Arc::clone(&line));
            if before.as_ref().is_some_and(|line| line.policy == *policy) {
                continue;
            }
            let line = self.line(subject, policy, before.as_deref());
            self.0.names.insert(subject.as_str(), Arc::new(line));
        }
        let is_used = |breaker: &Breaker| {
            let mut lines = self.0.names.iter();
            lines.any(|line| line.breaker.as_ref().map(Breaker::name) == Some(breaker.name()))
        };
        self.0.domains.retain(|_, breaker| is_used(breaker));
        self.0
            .accepting
            .store(table.accepts_less(), Ordering::Relaxed);
        self.0.any.store(!table.is_empty(), Ordering::Relaxed);
        *held = Held { stamp: stamp(&table), table };
        self.0.types.clear();
    }

    /// Returns the breakers of all targets that were called, by name.
    pub(crate) fn breakers(&self) -> Vec<Breaker> {
        let lines = self.0.names.iter();
        let mut breakers: Vec<_> = lines.filter_map(|line| line.breaker.clone()).collect();
        breakers.sort_unstable_by_key(Breaker::name);
        breakers.dedup_by_key(|breaker| breaker.name());
        breakers
    }

    /// Returns how the limits of targets stand, by name; without any called or
    /// answered there are none.
    pub(crate) fn standings(&self) -> Vec<Standing> {
        let lines = self.0.names.iter().map(|line| Arc::clone(&line));
        let mut lines: Vec<_> = lines.collect();
        lines.sort_unstable_by_key(|line| line.subject.as_str());
        let now = Instant::now();
        lines.iter().flat_map(|line| line.standings(now)).collect()
    }

    /// Returns the way that changes of the breakers go.
    pub(crate) fn changes(&self) -> Changes {
        self.0.changes.clone()
    }

    /// Returns the domains whose events make replies old, and hears when there
    /// may be others.
    pub(crate) fn heeded(&self) -> (BTreeSet<String>, watch::Receiver<u64>) {
        let again = self.0.heeded.subscribe();
        (self.held().table.heeds(), again)
    }

    /// Makes all replies old that an event of a domain may have changed.
    pub(crate) fn happened(&self, domain: &str) {
        for line in &self.0.names {
            if let Some(replies) = &line.replies
                && heeds(&line).iter().any(|heeded| heeded == domain)
            {
                replies.age();
            }
        }
    }

    fn open(&self, table: &Policies, subject: Subject) -> Option<Arc<Line>> {
        let policy = table.of(subject)?;
        let open = || Arc::new(self.line(subject, policy, None));
        Some(Arc::clone(
            &self.0.names.entry(subject.as_str()).or_insert_with(open),
        ))
    }

    /// Makes a line, whose breaker may be its domain's.
    fn line(&self, subject: Subject, policy: &Policy, before: Option<&Line>) -> Line {
        let changes = &self.0.changes;
        let shared = policy.shared_breaker().map(|limits| {
            let domain = subject.domain();
            let known = self.0.domains.get(domain).map(|known| known.clone());
            let breaker = renewed(domain, limits, known.as_ref(), changes);
            self.0.domains.insert(domain, breaker.clone());
            breaker
        });
        Line::new(subject, policy.clone(), (before, shared.as_ref()), changes)
    }
}

/// Returns what all nodes have to agree on: nothing for a node's own table.
fn stamp(table: &Policies) -> (u64, u64) {
    if table.version() == 0 {
        return (0, 0);
    }
    let text = serde_json::to_string(table).unwrap_or_default();
    (table.version(), hash(&text, ""))
}

fn heeds(line: &Line) -> Vec<String> {
    let cache = line.policy.keeps();
    let domains = cache.map(|cache| cache.heeds(line.subject.domain()));
    domains
        .unwrap_or_default()
        .into_iter()
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{Policies, hash, stamp};

    #[test]
    fn what_tells_a_table_from_others_is_what_somebody_set_in_it() {
        let table = r#"{"version": 3, "domains": {"till": {"deadline": "3s"}}}"#;
        let table = Policies::from_json(table).expect("a table");
        let written = r#"{"version":3,"domains":{"till":{"deadline":"3s","idempotent":false}},"commands":{}}"#;
        assert_eq!(stamp(&table), (3, hash(written, "")));
    }
}
