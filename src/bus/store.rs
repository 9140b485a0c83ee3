use std::{
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

/// Where the embedded bus keeps its streams, and how much a success promises.
///
/// # Examples
///
/// ```
/// use callboard::bus::{Durability, Store};
/// use std::time::Duration;
///
/// let store = Store::at("callboard-data")
///     .durability(Durability::Interval(Duration::from_millis(200)));
/// # drop(store);
/// ```
#[derive(Clone, Debug)]
pub struct Store {
    path: PathBuf,
    durability: Durability,
}

/// When an append to the embedded store counts as done.
///
/// | what ends | [`Always`](Self::Always) keeps | [`Interval`](Self::Interval) keeps |
/// |---|---|---|
/// | the process, by any signal | all that was committed | all that was committed |
/// | the machine or its power | all that was committed | all but what was committed since the last sync |
///
/// Consumer positions are written within 10 ms and synced within a second or
/// the interval: what was acknowledged just before the end may be delivered
/// again, unless [`ack_confirmed`](super::Delivery::ack_confirmed) returned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// Once the disk has it. Appends that wait at the same time share one sync.
    #[default]
    Always,
    /// Once the operating system has it; the disk gets it this often.
    Interval(Duration),
}

impl Durability {
    /// An interval of one second.
    pub const EVERY_SECOND: Self = Self::Interval(Duration::from_secs(1));

    /// How long something may stay unsynced.
    pub(super) const fn lag(self) -> Duration {
        match self {
            Self::Always => Duration::from_secs(1),
            Self::Interval(lag) => lag,
        }
    }
}

impl Store {
    /// Names a directory; it is made when the bus is opened. Every commit is synced.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), durability: Durability::Always }
    }

    /// Sets when an append counts as done.
    #[must_use]
    pub const fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) const fn durable(&self) -> Durability {
        self.durability
    }
}

impl From<PathBuf> for Store {
    fn from(path: PathBuf) -> Self {
        Self::at(path)
    }
}

impl From<&Path> for Store {
    fn from(path: &Path) -> Self {
        Self::at(path)
    }
}

impl From<&str> for Store {
    fn from(path: &str) -> Self {
        Self::at(path)
    }
}

impl From<String> for Store {
    fn from(path: String) -> Self {
        Self::at(path)
    }
}

/// Writes where it is and what survives, for a log line.
impl fmt::Display for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match self.durability {
            Durability::Always => write!(
                f,
                "embedded, stored in {path}: what is committed survives the process and a power failure"
            ),
            Durability::Interval(lag) => write!(
                f,
                "embedded, stored in {path}: what is committed survives the process, and a power failure may \
                 cost the last {lag:?}"
            ),
        }
    }
}
