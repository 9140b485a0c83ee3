use std::time::Duration;
use tokio::time::Instant;

/// How many parts a window has.
const PARTS: usize = 10;

/// Counts several kinds of things over a window of time that slides by tenths.
///
/// It covers the part that is running and the nine before it.
#[derive(Clone, Debug)]
pub(crate) struct Ring<const KINDS: usize> {
    born: Instant,
    part: Duration,
    /// The number of the part that is running, counted from the birth.
    tick: u64,
    parts: [[u64; KINDS]; PARTS],
}

impl<const KINDS: usize> Ring<KINDS> {
    pub(crate) fn new(window: Duration, now: Instant) -> Self {
        let part = (window / 10).max(Duration::from_nanos(1));
        Self { born: now, part, tick: 0, parts: [[0; KINDS]; PARTS] }
    }

    /// Counts one of a kind.
    pub(crate) fn add(&mut self, kind: usize, now: Instant) {
        self.turn(now);
        self.parts[place(self.tick)][kind] += 1;
    }

    /// Takes back the last one that was counted of a kind.
    pub(crate) fn take_back(&mut self, kind: usize, now: Instant) {
        self.turn(now);
        let ticks = (0..PARTS as u64).map_while(|age| self.tick.checked_sub(age));
        let mut places = ticks.map(place);
        if let Some(at) = places.find(|at| self.parts[*at][kind] > 0) {
            self.parts[at][kind] -= 1;
        }
    }

    /// Returns how many of each kind are in the window.
    pub(crate) fn sums(&mut self, now: Instant) -> [u64; KINDS] {
        self.turn(now);
        let mut sums = [0; KINDS];
        for part in &self.parts {
            for (sum, count) in sums.iter_mut().zip(part) {
                *sum += count;
            }
        }
        sums
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.parts = [[0; KINDS]; PARTS];
    }

    /// Returns how long until the oldest part that counts anything leaves the
    /// window; zero if none does.
    pub(crate) fn relief(&mut self, now: Instant) -> Duration {
        self.turn(now);
        let since = now.saturating_duration_since(self.born);
        let parts = PARTS as u64;
        let oldest = (0..parts).rev().find(|age| {
            let tick = self.tick.checked_sub(*age);
            tick.is_some_and(|tick| self.parts[place(tick)].iter().any(|count| *count > 0))
        });
        let Some(age) = oldest else {
            return Duration::ZERO;
        };
        let leaves = self.tick - age + parts;
        let leaves = u32::try_from(leaves).unwrap_or(u32::MAX);
        self.part.saturating_mul(leaves).saturating_sub(since)
    }

    /// Goes on to the part of now; time that seems to run back stands still.
    fn turn(&mut self, now: Instant) {
        let since = now.saturating_duration_since(self.born);
        let tick = since.as_nanos() / self.part.as_nanos();
        let tick = u64::try_from(tick).unwrap_or(u64::MAX).max(self.tick);
        for passed in (self.tick + 1..=tick).rev().take(PARTS) {
            self.parts[place(passed)] = [0; KINDS];
        }
        self.tick = tick;
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the remainder is below ten"
)]
const fn place(tick: u64) -> usize {
    (tick % PARTS as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::Ring;
    use std::time::Duration;
    use tokio::time::Instant;

    #[test]
    fn what_is_older_than_the_window_does_not_count() {
        let (born, second) = (Instant::now(), Duration::from_secs(1));
        let mut ring = Ring::<2>::new(10 * second, born);
        ring.add(0, born);
        ring.add(1, born + 5 * second);
        assert_eq!(ring.relief(born + 5 * second), 5 * second);
        assert_eq!(ring.sums(born + 9 * second), [1, 1]);
        assert_eq!(ring.sums(born + 10 * second), [0, 1]);
        assert_eq!(ring.sums(born + 3 * second), [0, 1], "time runs on only");
        assert_eq!(ring.sums(born + 1_000_000 * second), [0, 0]);
        assert_eq!(ring.relief(born + 1_000_000 * second), Duration::ZERO);
    }
}
