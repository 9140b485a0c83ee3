use std::time::Duration;

/// How often an event or a job is tried, and how long it waits in between.
///
/// The wait doubles with every attempt, up to a limit, and half of it is
/// random, so that what failed together is not tried again together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    attempts: u32,
    first: Duration,
    max: Duration,
    discards: bool,
}

impl Retry {
    /// Allows this many attempts, at least one: after the last failure the
    /// event's key is parked, until the operator says how to go on; a job
    /// becomes a dead letter.
    ///
    /// Counted is what the node at hand tried: what only waited, or was handed back
    /// by a node that stopped, has used nothing up, and after a fail-over the next
    /// node begins with the first attempt.
    pub const fn new(attempts: u32) -> Self {
        let attempts = if attempts == 0 { 1 } else { attempts };
        Self {
            attempts,
            first: Duration::from_millis(200),
            max: Duration::from_secs(30),
            discards: false,
        }
    }

    /// Makes the event a dead letter after the last failure, and lets its key go
    /// on: for reactions to which the order of a key's events means nothing.
    #[must_use]
    pub const fn then_discard(mut self) -> Self {
        self.discards = true;
        self
    }

    /// Whether a key goes on without an event that used its attempts up.
    pub(crate) const fn discards(self) -> bool {
        self.discards
    }

    /// Sets the wait after the first failure and the longest wait.
    #[must_use]
    pub const fn backoff(mut self, first: Duration, max: Duration) -> Self {
        self.first = first;
        self.max = max;
        self
    }

    /// Returns the wait after the `attempt`-th failure, or nothing if that was
    /// the last attempt. `jitter` is in `0.0..1.0`.
    pub(crate) fn after(self, attempt: u32, jitter: f64) -> Option<Duration> {
        if attempt >= self.attempts {
            return None;
        }
        Some(jittered(
            doubled(self.first, attempt.saturating_sub(1), self.max),
            jitter,
        ))
    }

    /// Returns the wait after the `attempt`-th failure of what is tried without end:
    /// after the last attempt the wait doubles on, up to five minutes.
    pub(crate) fn unending(self, attempt: u32, jitter: f64) -> Duration {
        self.after(attempt, jitter).unwrap_or_else(|| {
            let beyond = (attempt - self.attempts).saturating_add(1);
            let wait = self.max.max(Duration::from_millis(100));
            jittered(doubled(wait, beyond, MAX_BACKOFF.max(wait)), jitter)
        })
    }
}

/// The longest wait between two attempts of what is tried without end.
const MAX_BACKOFF: Duration = Duration::from_mins(5);

/// Doubles a wait so often, up to a limit.
fn doubled(wait: Duration, times: u32, limit: Duration) -> Duration {
    wait.saturating_mul(1 << times.min(31)).min(limit)
}

fn jittered(full: Duration, jitter: f64) -> Duration {
    full.mul_f64(0.5 + jitter / 2.0)
}

/// Five attempts: after 200 ms, 400 ms, 800 ms and 1.6 s, less up to half.
impl Default for Retry {
    fn default() -> Self {
        Self::new(5)
    }
}

#[cfg(test)]
mod tests {
    use super::Retry;
    use std::time::Duration;

    #[test]
    fn waits_double_up_to_the_limit_and_end_with_the_attempts() {
        let retry = Retry::new(4).backoff(Duration::from_secs(1), Duration::from_secs(3));
        let full: Vec<_> = (1..=4).map(|attempt| retry.after(attempt, 1.0)).collect();
        let secs = |s| Some(Duration::from_secs(s));
        assert_eq!(full, [secs(1), secs(2), secs(3), None]);
        assert_eq!(retry.after(1, 0.0), Some(Duration::from_millis(500)));
    }

    #[test]
    fn what_is_tried_without_end_waits_up_to_five_minutes() {
        let retry = Retry::new(4).backoff(Duration::from_secs(1), Duration::from_secs(3));
        let waits = [1, 3, 4, 5, 9, 10, 11, u32::MAX];
        let full = waits.map(|attempt| retry.unending(attempt, 1.0).as_secs());
        assert_eq!(full, [1, 3, 6, 12, 192, 300, 300, 300]);
    }
}
