use super::{
    Eject, News,
    able::Peers,
    live::{Way, lock},
    outliers::End,
};
use crate::roster::Instance;
use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::time::Instant;

/// What the end of a call says of the instance that it went to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sign {
    /// It was answered, however late.
    Answered,
    /// It was not, or what answered is not well.
    Failed,
    /// Nothing came in the time that the caller had.
    Silent {
        /// How long the caller waited.
        had: Duration,
        /// How long one attempt may take.
        given: Duration,
    },
}

/// An instance that was chosen for one call; it is counted as busy with it until
/// this is dropped.
pub(crate) struct Chosen {
    pub(super) instance: Instance,
    pub(super) is_here: bool,
    pub(super) load: Arc<AtomicUsize>,
    pub(super) way: Arc<Way>,
    /// Who else could have got it; nobody if none is ever left out.
    pub(super) peers: Option<Peers>,
    pub(super) since: Instant,
    /// Whether it finds out how an instance on probation is.
    pub(super) is_probe: bool,
}

impl Chosen {
    /// Returns the instance.
    pub(crate) const fn instance(&self) -> &Instance {
        &self.instance
    }

    /// Returns whether it is this process.
    pub(crate) const fn is_here(&self) -> bool {
        self.is_here
    }

    /// Notes how the call ended; returns what others should know.
    pub(crate) fn ended(&self, sign: Sign, by: &str) -> Option<News> {
        let eject: &Eject = self.way.route.eject.as_ref()?;
        let mut outliers = lock(&self.way.outliers);
        let id = self.instance.id();
        let end = End { instance: id, sign, started: self.since, ended: Instant::now() };
        let peers = self.peers.iter().flat_map(|peers| peers.of(&self.way));
        let span = outliers.after(&end, eject, peers);
        drop(outliers);
        let ejected = span?;
        let ejected_ms = u64::try_from(ejected.as_millis()).unwrap_or(u64::MAX);
        Some(News {
            route: self.way.route.to.clone(),
            instance: id.to_owned(),
            ejected_ms: (!ejected.is_zero()).then_some(ejected_ms),
            by: by.to_owned(),
        })
    }
}

impl Drop for Chosen {
    fn drop(&mut self) {
        self.load.fetch_sub(1, Relaxed);
        if self.is_probe {
            lock(&self.way.outliers).probed(self.instance.id());
        }
    }
}

impl fmt::Debug for Chosen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Chosen({:?})", self.instance)
    }
}
