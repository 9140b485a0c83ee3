use super::by_type::ByType;
use crate::{
    message::{Command, Subject},
    policy::{Breaker, Changes, Line, Policies, PoliciesError, Standing, changes},
};
use dashmap::DashMap;
use std::{
    any::TypeId,
    collections::BTreeSet,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
};
use tokio::{sync::watch, time::Instant};

/// The policies of a node's callers, and what is known of each target; cheap to
/// clone, and all clones are one.
#[derive(Clone, Debug)]
pub(crate) struct Lines(Arc<Known>);

#[derive(Debug)]
struct Known {
    table: RwLock<Policies>,
    /// What was looked up for each type of command; types share a subject's line.
    types: ByType<Option<Arc<Line>>>,
    names: DashMap<&'static str, Arc<Line>>,
    changes: Changes,
    /// Whether any policy limits what callees take.
    accepting: AtomicBool,
    /// Goes up when other domains' events may matter.
    heeded: watch::Sender<u64>,
}

impl Lines {
    pub(crate) fn new(table: Policies) -> Self {
        Self(Arc::new(Known {
            accepting: AtomicBool::new(table.accepts_less()),
            table: RwLock::new(table),
            types: ByType::default(),
            names: DashMap::new(),
            changes: changes(),
            heeded: watch::Sender::new(0),
        }))
    }

    /// Returns what a command is called by, if it has a policy.
    pub(super) fn of<C: Command>(&self) -> Option<Arc<Line>> {
        if let Some(known) = self.0.types.get(&TypeId::of::<C>()) {
            return known.clone();
        }
        // Held while the type is noted: a new table must not come between.
        let table = self.0.table.read().unwrap_or_else(PoisonError::into_inner);
        let line = self.open(&table, C::SUBJECT);
        self.0.types.insert(TypeId::of::<C>(), line.clone());
        drop(table);
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
        let table = self.0.table.read().unwrap_or_else(PoisonError::into_inner);
        self.open(&table, subject)
    }

    /// Takes another table. What is called by the same policy as before goes on as
    /// it was, and so does a breaker with the same limits; the rest begins anew.
    pub(crate) fn set(&self, table: Policies) -> Result<(), PoliciesError> {
        table.check()?;
        let mut current = self.0.table.write().unwrap_or_else(PoisonError::into_inner);
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
            let line = Line::new(subject, policy.clone(), before.as_deref(), &self.0.changes);
            self.0.names.insert(subject.as_str(), Arc::new(line));
        }
        self.0
            .accepting
            .store(table.accepts_less(), Ordering::Relaxed);
        *current = table;
        self.0.types.clear();
        drop(current);
        self.0.heeded.send_modify(|version| *version += 1);
        Ok(())
    }

    /// Returns the breakers of all targets that were called, by name.
    pub(crate) fn breakers(&self) -> Vec<Breaker> {
        let lines = self.0.names.iter();
        let mut breakers: Vec<_> = lines.filter_map(|line| line.breaker.clone()).collect();
        breakers.sort_unstable_by_key(Breaker::name);
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
        let table = self.0.table.read().unwrap_or_else(PoisonError::into_inner);
        let mut domains = table.heeds();
        drop(table);
        domains.extend(self.0.names.iter().flat_map(|line| heeds(&line)));
        (domains, again)
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
        let mut is_new = false;
        let open = || {
            is_new = true;
            Arc::new(Line::new(subject, policy.clone(), None, &self.0.changes))
        };
        let line = Arc::clone(&self.0.names.entry(subject.as_str()).or_insert_with(open));
        if is_new && line.replies.is_some() {
            self.0.heeded.send_modify(|version| *version += 1);
        }
        Some(line)
    }
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
