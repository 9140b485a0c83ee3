use super::{Abort, Steps, page::Order};
use crate::actor::Retry;
use bytes::Bytes;
use futures_util::future::LocalBoxFuture;
use std::{collections::HashSet, sync::Arc, time::Duration};

/// After how much silence of its runner a saga goes on elsewhere, unless it says so.
const LEASE: Duration = Duration::from_secs(8);
/// How many sagas of a kind a node runs at once, unless the kind says so.
const IN_FLIGHT: usize = 4_096;

/// What a saga was described as.
#[derive(Clone)]
pub(super) struct Plan {
    pub(super) name: &'static str,
    pub(super) run: Run,
    /// Says what is said of an abort once all is undone.
    pub(super) last_word: Option<LastWord>,
    /// How long it may take until its pivot.
    pub(super) deadline: Option<Duration>,
    /// How long one attempt at a step may take.
    pub(super) timeout: Duration,
    /// How a step is tried again, and how often one that certainly was never run.
    pub(super) retry: Retry,
    /// After how many attempts at undoing a step the saga is parked; never without.
    pub(super) undo_retry: Option<Retry>,
    /// After how much silence of its runner it goes on elsewhere.
    pub(super) lease: Duration,
    /// How many are run at once.
    pub(super) in_flight: usize,
    /// The events that wake it.
    pub(super) hears: HashSet<&'static str>,
}

pub(super) type Run =
    Arc<dyn Fn(Steps, Bytes) -> LocalBoxFuture<'static, Result<Bytes, Over>> + Send + Sync>;

pub(super) type LastWord = Arc<dyn Fn(&[u8], &Abort) -> Result<Order, String> + Send + Sync>;

/// How the way forward ended without a reply.
pub(super) enum Over {
    Aborted(Abort),
    /// What it began with, or what it returned, cannot be read or written.
    Unreadable(String),
}

impl Plan {
    pub(super) fn new(name: &'static str, run: Run) -> Self {
        let patient = Retry::new(80).backoff(Duration::from_millis(100), Duration::from_secs(10));
        Self {
            name,
            run,
            last_word: None,
            deadline: None,
            timeout: Duration::from_secs(5),
            retry: patient,
            undo_retry: None,
            lease: LEASE,
            in_flight: IN_FLIGHT,
            hears: HashSet::new(),
        }
    }

    /// Returns how undoing a step is tried again.
    pub(super) fn undoing(&self) -> Retry {
        self.undo_retry.unwrap_or(self.retry)
    }
}
