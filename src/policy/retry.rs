use super::{Budget, span};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How often a call is tried, and how long it waits in between.
///
/// Three attempts by default, the second after 100 ms and the third after
/// 200 ms, less up to half at random; a callee that says when to come again is
/// believed. Only what was certainly not run is tried again, unless the command
/// is [`idempotent`](super::Policy::idempotent) or its caller gave it an
/// [id](crate::Call::id): all attempts have the same. Where a
/// [route](crate::route) says how calls are spread, another attempt goes to an
/// instance that has not been tried, as long as there is one.
///
/// # Examples
///
/// ```
/// use callboard::policy::{Budget, Retry};
/// use std::time::Duration;
///
/// let retry = Retry::new(4)
///     .backoff(Duration::from_millis(20), Duration::from_secs(1))
///     .budget(Budget::new(0.1));
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[must_use]
pub struct Retry {
    attempts: u32,
    #[serde(with = "span")]
    first: Duration,
    factor: f64,
    #[serde(with = "span")]
    max: Duration,
    budget: Budget,
}

impl Retry {
    /// Allows this many attempts in all, the first one among them.
    pub fn new(attempts: u32) -> Self {
        Self { attempts, ..Self::default() }
    }

    /// Sets the wait after the first failure, and the longest wait.
    pub const fn backoff(mut self, first: Duration, max: Duration) -> Self {
        self.first = first;
        self.max = max;
        self
    }

    /// Sets by what the wait grows with every failure; 2 by default.
    pub const fn factor(mut self, factor: f64) -> Self {
        self.factor = factor;
        self
    }

    /// Sets how many of the calls to a target may be tried again.
    pub const fn budget(mut self, budget: Budget) -> Self {
        self.budget = budget;
        self
    }

    pub(super) const fn spends(&self) -> &Budget {
        &self.budget
    }

    /// Returns the wait after the first failure.
    pub(super) const fn first(&self) -> Duration {
        self.first
    }

    /// Whether there is more than one attempt.
    pub(crate) const fn is_any(&self) -> bool {
        self.attempts > 1
    }

    /// Returns the wait after the `attempt`-th failure, or nothing if that was
    /// the last attempt. `jitter` is in `0.0..1.0`; `asked` is what the callee
    /// wants it to be at least.
    pub(crate) fn after(
        &self,
        attempt: u32,
        jitter: f64,
        asked: Option<Duration>,
    ) -> Option<Duration> {
        if attempt >= self.attempts {
            return None;
        }
        let exponent = i32::try_from(attempt.saturating_sub(1)).unwrap_or(i32::MAX);
        let full = self.first.as_secs_f64() * self.factor.powi(exponent);
        let full = Duration::try_from_secs_f64(full).map_or(self.max, |full| full.min(self.max));
        let wait = full.mul_f64(0.5 + jitter.clamp(0.0, 1.0) / 2.0);
        Some(wait.max(asked.unwrap_or_default()))
    }

    /// Returns what is wrong with it, and what would be right.
    pub(crate) fn fault(&self) -> Option<String> {
        if !(1..=100).contains(&self.attempts) {
            return Some(format!("`attempts` is {}; use 1 to 100", self.attempts));
        }
        if !(1.0..=100.0).contains(&self.factor) {
            return Some(format!("`factor` is {}; use 1.0 to 100.0", self.factor));
        }
        let spans = [("first", self.first), ("max", self.max)];
        let mut spans = spans.into_iter();
        if let Some(fault) = spans.find_map(|(name, span)| span::too_long(name, span)) {
            return Some(fault);
        }
        self.budget
            .fault()
            .map(|fault| format!("`budget`: {fault}"))
    }
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            attempts: 3,
            first: Duration::from_millis(100),
            factor: 2.0,
            max: Duration::from_secs(5),
            budget: Budget::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Retry;
    use std::time::Duration;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn waits_grow_by_the_factor_up_to_the_limit_and_end_with_the_attempts() {
        let retry = Retry::new(5).backoff(100 * MS, 350 * MS);
        let full: Vec<_> = (1..=5).map(|n| retry.after(n, 1.0, None)).collect();
        assert_eq!(
            full,
            [
                Some(100 * MS),
                Some(200 * MS),
                Some(350 * MS),
                Some(350 * MS),
                None
            ]
        );
        assert_eq!(retry.after(1, 0.0, None), Some(50 * MS));
        assert_eq!(retry.after(1, f64::INFINITY, None), Some(100 * MS));
    }

    #[test]
    fn who_says_when_to_come_again_is_believed() {
        let retry = Retry::default();
        assert_eq!(retry.after(1, 1.0, Some(700 * MS)), Some(700 * MS));
        assert_eq!(retry.after(1, 1.0, Some(7 * MS)), Some(100 * MS));
        assert_eq!(retry.after(3, 1.0, Some(MS)), None);
    }

    #[test]
    fn no_number_of_attempts_overflows() {
        let retry = Retry::new(100).factor(100.0);
        assert_eq!(retry.after(99, 1.0, None), Some(Duration::from_secs(5)));
    }
}
