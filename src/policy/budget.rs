use super::{Limited, Standing, ring::Ring, sync::Mutex};
use serde::{Deserialize, Serialize};
use std::{
    sync::{
        PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::time::Instant;

/// Over which time calls and retries are compared.
const WINDOW: Duration = Duration::from_secs(10);

const CALLS: usize = 0;
const RETRIES: usize = 1;

/// How many of the calls to a target may be tried again, over the last 10 s.
///
/// A fifth by default, and one a second where so few calls are made that a fifth
/// of them is less than that. When a target is down, this keeps its callers from
/// doing to it what attempts for each of them would do.
///
/// # Examples
///
/// ```
/// use callboard::policy::Budget;
///
/// let strict = Budget::new(0.05).per_second(0.0);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[must_use]
pub struct Budget {
    share: f64,
    per_second: f64,
}

impl Budget {
    /// Allows retries of this share of the calls: 0.2 is a fifth.
    pub fn new(share: f64) -> Self {
        Self { share, ..Self::default() }
    }

    /// Sets how many retries a second are allowed however few calls there are.
    pub const fn per_second(mut self, retries: f64) -> Self {
        self.per_second = retries;
        self
    }

    /// Returns how many retries a window with this many calls may have.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a budget needs no 53 bits, and is not negative"
    )]
    fn allows(&self, calls: u64) -> u64 {
        let earned = calls as f64 * self.share;
        let least = WINDOW.as_secs_f64() * self.per_second;
        // Strictly below, so that attempts stay below calls and their share.
        let below = (earned.ceil() - 1.0).max(0.0);
        below.max(least.floor()) as u64
    }

    pub(super) fn fault(&self) -> Option<String> {
        let Self { share, per_second } = self;
        if !(0.0..=1.0).contains(share) {
            return Some(format!("`share` is {share}; use 0.0 to 1.0, such as 0.2"));
        }
        (!(0.0..=1e6).contains(per_second))
            .then(|| format!("`per_second` is {per_second}; use 0.0 to 1000000.0"))
    }
}

impl Default for Budget {
    fn default() -> Self {
        Self { share: 0.2, per_second: 1.0 }
    }
}

/// What is left of a target's budget.
#[derive(Debug)]
pub(crate) struct Purse {
    budget: Budget,
    spent: Mutex<Ring<2>>,
    refused: AtomicU64,
}

impl Purse {
    pub(crate) fn new(budget: Budget, now: Instant) -> Self {
        Self {
            budget,
            spent: Mutex::new(Ring::new(WINDOW, now)),
            refused: AtomicU64::new(0),
        }
    }

    /// Notes a call, which earns its share of a retry.
    pub(crate) fn earn(&self, now: Instant) {
        self.spent
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .add(CALLS, now);
    }

    /// Takes a retry out; returns whether there was one.
    pub(crate) fn spend(&self, now: Instant) -> bool {
        let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        let sums = spent.sums(now);
        let allowed = sums[RETRIES] < self.budget.allows(sums[CALLS]);
        if allowed {
            spent.add(RETRIES, now);
        }
        drop(spent);
        if !allowed {
            self.refused.fetch_add(1, Relaxed);
        }
        allowed
    }

    /// Returns how it stands.
    pub(crate) fn standing(&self, now: Instant) -> Standing {
        let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        let [calls, retries] = spent.sums(now);
        drop(spent);
        let (of, limit) = (Limited::Retries { calls }, self.budget.allows(calls));
        Standing::new(of, (retries, limit)).refused(self.refused.load(Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::{Budget, Purse};
    use std::time::Duration;
    use tokio::time::Instant;

    fn retries(purse: &Purse, calls: u64, start: Instant, apart: Duration) -> u64 {
        let mut now = start;
        let mut retries = 0;
        for _ in 0..calls {
            now += apart;
            purse.earn(now);
            // Each would take all the retries it could get.
            for _ in 0..3 {
                retries += u64::from(purse.spend(now));
            }
        }
        retries
    }

    #[test]
    fn retries_stay_below_their_share_at_any_pace() {
        for apart in [0, 1, 10, 100] {
            let start = Instant::now();
            let purse = Purse::new(Budget::default(), start);
            let retried = retries(&purse, 10_000, start, Duration::from_millis(apart));
            assert!((1..2_000).contains(&retried), "{retried} at {apart} ms");
        }
    }

    #[test]
    fn where_few_calls_are_made_there_is_one_retry_a_second() {
        let start = Instant::now();
        let purse = Purse::new(Budget::default(), start);
        let retried = retries(&purse, 100, start, Duration::from_secs(5));
        assert!((200..=300).contains(&retried), "{retried} of 300 in 500 s");
        let told = purse.standing(start + Duration::from_secs(500));
        assert_eq!((told.now, told.limit, told.refused), (6, 10, 300 - retried));
        let none = Purse::new(Budget::new(0.2).per_second(0.0), start);
        assert_eq!(retries(&none, 100, start, Duration::from_secs(5)), 0);
    }
}
