//! Many sagas at once, as dashboards ask for them: never more than they want.

use super::{
    SagaPhase, SagaStatus,
    page::{Move, Page},
};
use crate::{bus::Stored, error::Failure, message::Key};
use std::{
    collections::{BTreeMap, HashMap},
    time::SystemTime,
};

/// How many sagas are listed unless more are asked for.
const LIMIT: usize = 1_000;

/// Which sagas to list: by default those that are not over, at most 1,000.
///
/// # Examples
///
/// ```
/// use callboard::saga::{SagaFilter, SagaPhase};
///
/// let stuck = SagaFilter::live().phases([SagaPhase::Parked]).limit(50);
/// assert!(stuck.takes(SagaPhase::Parked) && !stuck.takes(SagaPhase::Running));
/// ```
#[derive(Clone, Debug)]
pub struct SagaFilter {
    phases: Vec<SagaPhase>,
    limit: usize,
}

/// What a listing found.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct SagaList {
    /// The sagas, the oldest first; where there are more than the limit, those
    /// that began last.
    pub sagas: Vec<SagaStatus>,
    /// How many there are in all.
    pub matched: usize,
    /// The ids of those whose journal this program cannot read, and why.
    pub unreadable: BTreeMap<String, String>,
}

impl SagaFilter {
    /// Lists those that are not over.
    pub fn live() -> Self {
        let phases = vec![
            SagaPhase::Running,
            SagaPhase::Compensating,
            SagaPhase::Parked,
        ];
        Self { phases, limit: LIMIT }
    }

    /// Lists all, also those that are over.
    pub fn all() -> Self {
        Self::live().phases(SagaPhase::ALL)
    }

    /// Lists those in these phases only.
    #[must_use]
    pub fn phases(mut self, phases: impl IntoIterator<Item = SagaPhase>) -> Self {
        self.phases = phases.into_iter().collect();
        self
    }

    /// Lists so many at most: those that began last.
    #[must_use]
    pub const fn limit(mut self, sagas: usize) -> Self {
        self.limit = sagas;
        self
    }

    /// Whether it lists a saga in this phase.
    pub fn takes(&self, phase: SagaPhase) -> bool {
        self.phases.contains(&phase)
    }
}

impl Default for SagaFilter {
    fn default() -> Self {
        Self::live()
    }
}

/// Folds the journals of all sagas: it holds those that are not over, and of
/// those that are no more than are wanted.
pub(super) struct Roll<'a> {
    filter: &'a SagaFilter,
    now: SystemTime,
    open: HashMap<String, Vec<(Stored, Page)>>,
    found: BTreeMap<u64, SagaStatus>,
    matched: usize,
    unreadable: BTreeMap<String, String>,
}

impl<'a> Roll<'a> {
    pub(super) fn new(filter: &'a SagaFilter, now: SystemTime) -> Self {
        Self {
            filter,
            now,
            open: HashMap::new(),
            found: BTreeMap::new(),
            matched: 0,
            unreadable: BTreeMap::new(),
        }
    }

    /// Goes on by one message of a saga's journal.
    pub(super) fn turn(&mut self, token: &str, stored: Stored, page: Result<Page, Failure>) {
        let page = match page {
            Ok(page) => page,
            Err(failure) => {
                self.unreadable.insert(id_of(token), failure.to_string());
                return;
            }
        };
        let is_over = matches!(page.moves.last(), Some(Move::Ended(_)));
        let pages = self.open.entry(token.to_owned()).or_default();
        pages.push((stored, page));
        if is_over {
            let pages = self.open.remove(token).unwrap_or_default();
            self.settle(token, &pages);
        }
    }

    /// Returns what was found.
    pub(super) fn end(mut self) -> SagaList {
        for (token, pages) in std::mem::take(&mut self.open) {
            self.settle(&token, &pages);
        }
        SagaList {
            sagas: self.found.into_values().collect(),
            matched: self.matched,
            unreadable: self.unreadable,
        }
    }

    fn settle(&mut self, token: &str, pages: &[(Stored, Page)]) {
        let first = pages.first().map_or(0, |(stored, _)| stored.sequence);
        let id = id_of(token);
        // A part of its journal is no story.
        if self.unreadable.contains_key(&id) {
            return;
        }
        let Some(status) = SagaStatus::of(id, pages, self.now) else {
            return;
        };
        if !self.filter.takes(status.state.phase()) {
            return;
        }
        self.matched += 1;
        self.found.insert(first, status);
        if self.found.len() > self.filter.limit {
            self.found.pop_first();
        }
    }
}

fn id_of(token: &str) -> String {
    Key::from_token(token).map_or_else(|_| token.to_owned(), |key| key.decode())
}
