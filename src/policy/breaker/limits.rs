use super::super::span;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, time::Duration};

/// When a breaker opens, for how long, and how it tries again.
///
/// By default it opens after 5 failures in a row within 10 s, stays open for
/// 60 s and up to a tenth more, and then lets one probe through. Rates are off
/// unless they are set.
///
/// # Examples
///
/// ```
/// use callboard::policy::Limits;
/// use std::time::Duration;
///
/// let limits = Limits::new()
///     .failures(3, Duration::from_secs(5))
///     .open(Duration::from_secs(20), Duration::from_secs(300))
///     .failure_rate(0.5)
///     .min_calls(50);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[must_use]
pub struct Limits {
    failures: u32,
    #[serde(with = "span")]
    within: Duration,
    #[serde(with = "span")]
    open: Duration,
    #[serde(with = "span")]
    max_open: Duration,
    probes: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure_rate: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    slow_rate: Option<f64>,
    #[serde(with = "span::maybe", skip_serializing_if = "Option::is_none")]
    slow: Option<Duration>,
    min_calls: u32,
    advice: Advice,
    statuses: BTreeSet<u16>,
    #[serde(skip_serializing_if = "Scope::is_command")]
    scope: Scope,
}

/// What one breaker of a policy stands before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// One command: each has a breaker of its own.
    #[default]
    Command,
    /// All commands of the domain that have the policy: what one of them meets with holds
    /// for the others. The breaker has the domain's name.
    Domain,
}

impl Scope {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
    const fn is_command(&self) -> bool {
        matches!(self, Self::Command)
    }
}

/// What a breaker makes of it when another node's breaker of its name opens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Advice {
    /// Nothing: this node may see the target better.
    #[default]
    Ignore,
    /// For as long as the other one is open, a single failure opens this one.
    Suspect,
    /// It opens for as long as the other one.
    Follow,
}

/// The statuses that say that the callee is in trouble: deadline and 5xx.
const TROUBLE: [u16; 3] = [408, 500, 503];

/// The most probes that may be let through together.
const MAX_PROBES: u32 = 10_000;

/// The most failures in a row that may be waited for: each is remembered.
const MAX_FAILURES: u32 = 10_000;

impl Limits {
    /// Returns the defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets after how many failures in a row, within which time, it opens; 0
    /// failures for rates only. The time is also the window of the rates.
    pub const fn failures(mut self, failures: u32, within: Duration) -> Self {
        self.failures = failures;
        self.within = within;
        self
    }

    /// Sets how long it stays open, and how long at most when its probes keep
    /// failing: the time doubles with each of them. Up to a tenth is added at
    /// random, so that what opened together does not probe together.
    pub const fn open(mut self, first: Duration, max: Duration) -> Self {
        self.open = first;
        self.max_open = max;
        self
    }

    /// Sets how many probes it lets through when half-open; all of them must
    /// succeed for it to close.
    pub const fn probes(mut self, probes: u32) -> Self {
        self.probes = probes;
        self
    }

    /// Opens it also when this share of the calls in the window failed, from
    /// 0.0 to 1.0.
    pub const fn failure_rate(mut self, share: f64) -> Self {
        self.failure_rate = Some(share);
        self
    }

    /// Opens it also when this share of the calls in the window took longer than `slow`.
    pub const fn slow_rate(mut self, share: f64, slow: Duration) -> Self {
        self.slow_rate = Some(share);
        self.slow = Some(slow);
        self
    }

    /// Sets how many calls must be in the window before rates mean something; 20
    /// by default.
    pub const fn min_calls(mut self, calls: u32) -> Self {
        self.min_calls = calls;
        self
    }

    /// Sets what other nodes' breakers of this name mean to it; nothing by default.
    pub const fn advice(mut self, advice: Advice) -> Self {
        self.advice = advice;
        self
    }

    /// Sets what a breaker of a policy stands before: one command by default. A breaker
    /// that stands by itself has no use for it.
    pub const fn scope(mut self, scope: Scope) -> Self {
        self.scope = scope;
        self
    }

    /// Sets the statuses that count as failures of the callee instead of 408, 500
    /// and 503. A call without a reply counts as 408, one that nobody answers as 503.
    ///
    /// A 408 counts only if the callee had as long as the policy gives an attempt, or
    /// longer than it usually takes: a caller with little time left blames nobody.
    pub fn statuses(mut self, statuses: impl IntoIterator<Item = u16>) -> Self {
        self.statuses = statuses.into_iter().collect();
        self
    }

    /// Returns what is wrong with it, and what would be right.
    pub(crate) fn fault(&self) -> Option<String> {
        let share = |share: f64| share > 0.0 && share <= 1.0;
        let rates = [
            ("failure_rate", self.failure_rate),
            ("slow_rate", self.slow_rate),
        ];
        for (name, rate) in rates {
            if let Some(rate) = rate.filter(|rate| !share(*rate)) {
                return Some(format!(
                    "`{name}` is {rate}; it is a share above 0.0 and up to 1.0, such as 0.5"
                ));
            }
        }
        if let Some(fault) = self
            .fault_of_slowness()
            .or_else(|| self.fault_of_statuses())
        {
            return Some(fault);
        }
        let spans = [
            ("within", self.within),
            ("open", self.open),
            ("max_open", self.max_open),
        ];
        let mut spans = spans.into_iter();
        if let Some(fault) = spans.find_map(|(name, span)| span::fault(name, span)) {
            return Some(fault);
        }
        if self.max_open < self.open {
            return Some("`max_open` is less than `open`; make it as long or longer".to_owned());
        }
        if !(1..=MAX_PROBES).contains(&self.probes) {
            return Some(format!(
                "`probes` is {}; use 1 to {MAX_PROBES}",
                self.probes
            ));
        }
        if self.failures > MAX_FAILURES {
            return Some(format!(
                "`failures` is {}; use 0 to {MAX_FAILURES}, or a rate",
                self.failures
            ));
        }
        if self.failures == 0 && self.failure_rate.is_none() && self.slow_rate.is_none() {
            return Some(
                "`failures` is 0 and no rate is set, so it would never open; set one of them"
                    .to_owned(),
            );
        }
        None
    }

    fn fault_of_slowness(&self) -> Option<String> {
        match (self.slow_rate, self.slow) {
            (Some(_), None) => Some(
                "`slow_rate` is set without `slow`; say what is slow, such as `slow = \"1s\"`"
                    .to_owned(),
            ),
            (None, Some(_)) => Some(
                "`slow` is set without `slow_rate`; say which share of slow calls is too much, such as 0.5"
                    .to_owned(),
            ),
            (_, slow) => slow.and_then(|slow| span::fault("slow", slow)),
        }
    }

    fn fault_of_statuses(&self) -> Option<String> {
        if let Some(status) = self.statuses.iter().find(|it| matches!(it, 400 | 404)) {
            return Some(format!(
                "`statuses` has {status}, which says that the caller's input is bad: one caller would shut the callee for all; leave it out"
            ));
        }
        let is_none = |status: &&u16| !(400..600).contains(*status);
        let status = self.statuses.iter().find(is_none)?;
        Some(format!(
            "`statuses` has {status}, which says of no failure; use 400 to 599, such as 503"
        ))
    }

    /// Whether a breaker of a policy stands before this.
    pub(crate) fn is_of(&self, scope: Scope) -> bool {
        self.scope == scope
    }

    /// Whether a status says that the callee is in trouble.
    pub(crate) fn blames(&self, status: u16) -> bool {
        self.statuses.contains(&status)
    }

    /// Returns how long it stays open after this many failed probes in a row.
    /// The `jitter` goes from 0.0 to 1.0.
    pub(super) fn open_for(&self, streak: u32, jitter: f64) -> Duration {
        let factor = 1_u32.checked_shl(streak).unwrap_or(u32::MAX);
        let time = self.open.saturating_mul(factor).min(self.max_open);
        time.saturating_add((time / 10).mul_f64(jitter.clamp(0.0, 1.0)))
    }

    pub(super) const fn within(&self) -> Duration {
        self.within
    }

    pub(super) const fn probe_count(&self) -> u32 {
        self.probes
    }

    pub(super) const fn heeds(&self) -> Advice {
        self.advice
    }

    /// Whether outcomes must be counted over the window.
    pub(super) const fn counts_rates(&self) -> bool {
        self.failure_rate.is_some() || self.slow_rate.is_some()
    }

    /// Whether a call that took so long is a slow one.
    pub(super) fn is_slow(&self, took: Duration) -> bool {
        self.slow_rate.is_some() && self.slow.is_some_and(|slow| took > slow)
    }

    #[inline]
    pub(super) const fn watches_time(&self) -> bool {
        self.slow_rate.is_some()
    }

    /// Whether so many failures in a row are too many.
    pub(super) fn is_enough(&self, in_a_row: usize) -> bool {
        self.failures > 0 && in_a_row >= self.failures as usize
    }

    /// Returns how many failures have to be remembered.
    pub(super) const fn memory(&self) -> usize {
        self.failures as usize
    }

    /// Returns which rate is reached among the calls in the window.
    pub(super) fn rate_reached(&self, calls: u64, failed: u64, slow: u64) -> Option<&'static str> {
        if calls < u64::from(self.min_calls).max(1) {
            return None;
        }
        let reached =
            |rate: Option<f64>, count: u64| rate.is_some_and(|rate| share(count, calls) >= rate);
        match () {
            () if reached(self.failure_rate, failed) => Some("too many of the calls failed"),
            () if reached(self.slow_rate, slow) => Some("too many of the calls were slow"),
            () => None,
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a share needs no 53 bits")]
fn share(count: u64, of: u64) -> f64 {
    count as f64 / of as f64
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            failures: 5,
            within: Duration::from_secs(10),
            open: Duration::from_mins(1),
            max_open: Duration::from_mins(10),
            probes: 1,
            failure_rate: None,
            slow_rate: None,
            slow: None,
            min_calls: 20,
            advice: Advice::default(),
            statuses: TROUBLE.into(),
            scope: Scope::default(),
        }
    }
}
