use std::{collections::VecDeque, time::Duration};
use tokio::time::Instant;

/// How many restarts a group takes before it fails itself.
///
/// The default is 10 restarts in 10 s. With the default
/// [`Backoff`](super::Backoff) a single child that crashes never reaches it,
/// because its restarts come too slowly; lower it to escalate sooner.
/// Intensities multiply through levels: a group of 10 inside a group of 10
/// stands for 100 restarts before the outer one gives up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Intensity {
    /// This many are fine; one more is too many.
    pub(crate) restarts: u32,
    /// How long a restart counts, the last instant included.
    pub(crate) period: Duration,
}

impl Default for Intensity {
    fn default() -> Self {
        Self { restarts: 10, period: Duration::from_secs(10) }
    }
}

/// The restarts of the last period: a sliding window.
#[derive(Debug)]
pub(super) struct Window {
    intensity: Intensity,
    restarts: VecDeque<Instant>,
}

impl Window {
    pub(super) const fn new(intensity: Intensity) -> Self {
        Self { intensity, restarts: VecDeque::new() }
    }

    /// Counts a restart at `now`, and returns whether it was one too many.
    pub(super) fn exceeded_by(&mut self, now: Instant) -> bool {
        while let Some(&oldest) = self.restarts.front()
            && now.saturating_duration_since(oldest) > self.intensity.period
        {
            self.restarts.pop_front();
        }
        if self.restarts.len() >= self.intensity.restarts as usize {
            return true;
        }
        self.restarts.push_back(now);
        false
    }
}

#[cfg(test)]
mod tests {
    use super::{Intensity, Window};
    use std::time::Duration;
    use tokio::time::Instant;

    const MS: Duration = Duration::from_millis(1);

    fn verdicts(restarts: u32, period_ms: u32, at_ms: &[u32]) -> Vec<bool> {
        let start = Instant::now();
        let mut window = Window::new(Intensity { restarts, period: MS * period_ms });
        at_ms
            .iter()
            .map(|&ms| window.exceeded_by(start + MS * ms))
            .collect()
    }

    #[test]
    fn as_many_as_allowed_are_fine_and_one_more_is_not() {
        assert_eq!(verdicts(3, 100, &[0, 1, 2, 3]), [false, false, false, true]);
    }

    #[test]
    fn a_restart_counts_up_to_and_with_the_end_of_the_period() {
        assert_eq!(verdicts(1, 100, &[0, 100]), [false, true]);
        assert_eq!(verdicts(1, 100, &[0, 101]), [false, false]);
    }

    #[test]
    fn the_window_slides_and_does_not_tumble() {
        assert_eq!(
            verdicts(2, 100, &[0, 90, 110, 180]),
            [false, false, false, true]
        );
    }

    #[test]
    fn an_intensity_of_zero_takes_no_restart_at_all() {
        assert_eq!(verdicts(0, 100, &[0]), [true]);
    }

    #[test]
    fn a_period_of_zero_counts_what_happens_in_one_instant() {
        assert_eq!(verdicts(1, 0, &[5, 5, 6]), [false, true, false]);
    }
}
