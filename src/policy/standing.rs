use super::{By, span};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How a limit stands on one node.
///
/// One and the same command has several where its policy has: each is told by
/// itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Standing {
    /// What it limits.
    #[serde(flatten)]
    pub of: Limited,
    /// The command that it is about; nothing where it is about all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// How much is taken now; of a rate, by the one that took most.
    pub now: u64,
    /// How much may be taken.
    pub limit: u64,
    /// How many were turned away since it was set.
    pub refused: u64,
}

/// What a limit is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Limited {
    /// Commands from the bus that the node has [in hand](crate::Node::in_hand).
    InHand,
    /// Calls that the command's own node [takes](super::Policy::accept) in a time.
    Accept(Counted),
    /// Calls that are [made](super::Policy::rate) in a time.
    Rate(Counted),
    /// Calls that are in flight at a time.
    Bulkhead {
        /// How many wait for a place.
        waiting: u64,
        /// How many may wait.
        queue: u64,
    },
    /// Calls that are tried again, over the last 10 s.
    Retries {
        /// How many calls were made in that time.
        calls: u64,
    },
}

/// How calls are counted over time, and who made most of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Counted {
    /// How many may be made in a time; a bucket may hold more or fewer.
    pub allowed: u32,
    /// In which time.
    #[serde(with = "span")]
    pub per: Duration,
    /// What has a limit of its own.
    pub by: By,
    /// How many callers, keys or values are remembered.
    pub keys: u64,
    /// The one that took most, of the thousand that were last counted; nothing
    /// where all share one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fullest: Option<String>,
}

impl Standing {
    pub(crate) const fn new(of: Limited, (now, limit): (u64, u64)) -> Self {
        Self { of, target: None, now, limit, refused: 0 }
    }

    pub(crate) const fn refused(mut self, times: u64) -> Self {
        self.refused = times;
        self
    }
}

impl Limited {
    /// Returns its name, as in JSON.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::InHand => "in-hand",
            Self::Accept(_) => "accept",
            Self::Rate(_) => "rate",
            Self::Bulkhead { .. } => "bulkhead",
            Self::Retries { .. } => "retries",
        }
    }
}
