//! When instances that fail are left out for a while, and who is.

use crate::span;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// When an instance is left out, as one caller sees it.
///
/// A failure is an attempt without an answer in time, one that the instance failed or
/// was too busy for, and one that nobody took. What a domain says no to is none,
/// and what is the caller's own fault says nothing of the instance.
///
/// Afterwards an instance is on probation: it gets one call at a time, and is
/// trusted again after five answers in a row; one failure leaves it out for longer.
/// Calls from before it was left out do not count any more.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Eject {
    /// After so many failures in a row; 0 with a `rate` for by that alone.
    pub failures: u32,
    /// Or after this share of failures, of at least `calls` within `window`; 0 for never.
    pub rate: f64,
    /// How many calls a share is taken of, at least.
    pub calls: u32,
    /// The time in which they are counted.
    #[serde(with = "span")]
    pub window: Duration,
    /// How long the first time; twice, three times as long after that.
    #[serde(with = "span")]
    pub base: Duration,
    /// The largest share that is left out at a time, of the instances that could have
    /// got the call: of its version, where there are rules.
    pub most: f64,
    /// An answer that takes longer counts as a failure; none does by default.
    #[serde(with = "span::maybe", skip_serializing_if = "Option::is_none")]
    pub slow: Option<Duration>,
}

impl Default for Eject {
    fn default() -> Self {
        Self {
            failures: 7,
            rate: 0.0,
            calls: 20,
            window: Duration::from_secs(10),
            base: Duration::from_secs(30),
            most: 0.5,
            slow: None,
        }
    }
}

/// An instance was left out, or is back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct News {
    /// The command or domain of the route.
    pub route: String,
    /// The instance.
    pub instance: String,
    /// For how many milliseconds it is left out; nothing if it is trusted again.
    pub ejected_ms: Option<u64>,
    /// Who says so.
    pub by: String,
}

/// An instance that is left out, as one caller sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ejected {
    /// The command or domain of the route.
    pub route: String,
    /// The instance.
    pub instance: String,
    /// For how many milliseconds more.
    pub ejected_ms: u64,
    /// How often it was since it was trusted last, up to ten.
    pub times: u32,
}
