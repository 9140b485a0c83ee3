use std::time::Duration;

/// How long a child that keeps failing waits before it is started again.
///
/// The first restart comes at once. The next ones wait `first`, then twice as
/// long each time, up to `max`; jitter takes away up to half, so that children
/// that failed together do not come back together. A child that then stays up
/// for the `quiet` time starts over.
///
/// # Examples
///
/// ```
/// use callboard::supervision::Backoff;
/// use std::time::Duration;
///
/// let backoff = Backoff::default().max(Duration::from_secs(1));
/// assert_eq!(backoff.delay(0, 0.5), Duration::ZERO);
/// assert_eq!(backoff.delay(2, 0.0), Duration::from_millis(100));
/// assert_eq!(backoff.delay(9, 1.0), Duration::from_secs(1));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Backoff {
    first: Duration,
    max: Duration,
    quiet: Duration,
}

impl Backoff {
    /// Sets the delay of the second restart in a row; 100 ms by default, and
    /// zero for no delays at all.
    pub const fn first(mut self, first: Duration) -> Self {
        self.first = first;
        self
    }

    /// Sets the longest delay; 5 s by default.
    pub const fn max(mut self, max: Duration) -> Self {
        self.max = max;
        self
    }

    /// Sets how long a child has to stay up until its restarts are forgotten;
    /// 10 s by default.
    pub const fn quiet(mut self, quiet: Duration) -> Self {
        self.quiet = quiet;
        self
    }

    /// Returns the delay after this many restarts in a row.
    ///
    /// The `jitter` goes from 0.0 (half the delay) to 1.0 (all of it).
    pub fn delay(&self, consecutive: u32, jitter: f64) -> Duration {
        let Some(doublings) = consecutive.checked_sub(1) else {
            return Duration::ZERO;
        };
        if self.first.is_zero() {
            return Duration::ZERO;
        }
        let full = 1_u32
            .checked_shl(doublings)
            .map_or(self.max, |factor| self.first.saturating_mul(factor))
            .min(self.max);
        let half = full / 2;
        let share = if jitter.is_nan() {
            0.0
        } else {
            jitter.clamp(0.0, 1.0)
        };
        half.saturating_add(full.saturating_sub(half).mul_f64(share))
            .min(full)
    }

    /// Returns the time without a failure after which a child starts over.
    pub(super) const fn quiet_time(&self) -> Duration {
        self.quiet
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            first: Duration::from_millis(100),
            max: Duration::from_secs(5),
            quiet: Duration::from_secs(10),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Backoff;
    use std::time::Duration;

    fn full_ms(backoff: Backoff, restarts: u32) -> Vec<u128> {
        (0..restarts)
            .map(|n| backoff.delay(n, 1.0).as_millis())
            .collect()
    }

    #[test]
    fn the_first_restart_is_at_once_and_the_next_ones_double_up_to_the_longest() {
        let delays = full_ms(Backoff::default(), 9);
        assert_eq!(delays, [0, 100, 200, 400, 800, 1600, 3200, 5000, 5000]);
    }

    #[test]
    fn jitter_takes_away_at_most_half() {
        let backoff = Backoff::default();
        assert_eq!(backoff.delay(1, 0.0), Duration::from_millis(50));
        assert_eq!(backoff.delay(1, 0.5), Duration::from_millis(75));
        assert_eq!(backoff.delay(1, 1.0), Duration::from_millis(100));
    }

    #[test]
    fn jitter_out_of_range_counts_as_the_nearest_in_range() {
        let backoff = Backoff::default();
        assert_eq!(backoff.delay(1, -3.0), backoff.delay(1, 0.0));
        assert_eq!(backoff.delay(1, f64::NAN), backoff.delay(1, 0.0));
        assert_eq!(backoff.delay(1, f64::INFINITY), backoff.delay(1, 1.0));
    }

    #[test]
    fn a_first_delay_of_zero_means_no_delay_ever() {
        let backoff = Backoff::default().first(Duration::ZERO);
        assert_eq!(backoff.delay(1, 1.0), Duration::ZERO);
        assert_eq!(backoff.delay(u32::MAX, 1.0), Duration::ZERO);
    }

    #[test]
    fn the_longest_delay_caps_also_the_first() {
        let backoff = Backoff::default().max(Duration::from_millis(30));
        assert_eq!(full_ms(backoff, 3), [0, 30, 30]);
    }

    #[test]
    fn no_number_of_restarts_and_no_delay_overflows() {
        let endless = Backoff::default().first(Duration::MAX).max(Duration::MAX);
        assert_eq!(endless.delay(u32::MAX, 1.0), Duration::MAX);
        assert_eq!(
            Backoff::default().delay(u32::MAX, 1.0),
            Duration::from_secs(5)
        );
    }
}
