use super::super::span;
use serde::{Deserialize, Serialize};
use std::{fmt, time::Duration};

/// Where a breaker stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Calls go through.
    Closed,
    /// No call goes through until its time is up.
    Open,
    /// A few probes go through, and decide.
    HalfOpen,
    /// An operator keeps it open.
    ForcedOpen,
    /// An operator keeps it closed, whatever happens.
    ForcedClosed,
}

impl State {
    /// Returns its name, such as `half-open`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half-open",
            Self::ForcedOpen => "forced-open",
            Self::ForcedClosed => "forced-closed",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What an operator wants of a breaker, as long as its process runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Force {
    /// Stay open until told otherwise.
    Open,
    /// Stay closed until told otherwise.
    Closed,
    /// Close, and decide by itself again.
    Auto,
}

/// What a guarded call says about its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It works. A domain's "no" is an answer too.
    Success,
    /// It is in trouble.
    Failure,
    /// Nothing: the call was given up, or the fault is the caller's.
    Nothing,
}

/// That a breaker went from one state to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Change {
    /// Where it stood.
    pub from: State,
    /// Where it stands.
    pub to: State,
    /// Why, in words.
    pub reason: String,
    /// For how long it is open, if it is.
    #[serde(default, with = "span::maybe", skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<Duration>,
    /// Whether it only follows what another node said.
    pub advised: bool,
}

/// What went through a breaker since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Counts {
    /// All calls that ended or were turned away.
    pub total: u64,
    /// Those that said that the target works.
    pub succeeded: u64,
    /// Those that said that it is in trouble.
    pub failed: u64,
    /// Those that were turned away.
    pub rejected: u64,
    /// Those that took too long, whatever they said.
    pub slow: u64,
}
