use std::time::Duration;

/// How often a node is heard of, and looks after itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pace {
    /// How often it says that it lives.
    pub(crate) heartbeat: Duration,
    /// After how much silence others take it for gone.
    pub(crate) ttl: Duration,
    /// How often the groups' own checks run.
    pub(crate) checks: Duration,
}

impl Pace {
    /// The shortest time between two signs of life.
    pub(crate) const SHORTEST: Duration = Duration::from_millis(300);
    /// The shortest silence that means gone.
    pub(crate) const SHORTEST_TTL: Duration = Duration::from_secs(1);
    /// The longest silence that anybody waits for.
    pub(crate) const LONGEST_TTL: Duration = Duration::from_hours(1);

    /// Returns how often the ear looks at signs of life that came: not at each
    /// for itself, which would wake the node once for every other node.
    pub(super) fn glance(self) -> Duration {
        (self.heartbeat / 10).clamp(Duration::from_millis(30), Duration::from_secs(1))
    }
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_secs(10),
            ttl: Duration::from_secs(30),
            checks: Duration::from_secs(10),
        }
    }
}
