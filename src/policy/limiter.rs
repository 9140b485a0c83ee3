use super::{
    By, Counted, Limited, Standing,
    rate::{Kind, Rate},
    ring::Ring,
    sync::Mutex,
};
use lru::LruCache;
use std::{fmt, sync::PoisonError, time::Duration};
use tokio::time::Instant;

/// How many keys are looked at for the fullest: calls wait meanwhile, and who takes
/// much was counted not long ago.
const LOOKED_AT: usize = 1_000;

/// How many characters of a key are told.
const TOLD: usize = 64;

/// Counts calls by key, for as many keys as it may remember.
pub(crate) struct Limiter {
    rate: Rate,
    known: Mutex<Known>,
}

struct Known {
    keys: LruCache<Box<str>, Count>,
    refused: u64,
}

enum Count {
    /// When the bucket is full again.
    Bucket(Instant),
    /// Boxed: it is larger than the other by far.
    Window(Box<Ring<1>>),
}

/// That there were too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooMany {
    /// After how long one may go again.
    pub(crate) reset: Duration,
}

impl Limiter {
    pub(crate) fn new(rate: Rate) -> Self {
        // It is kept small by hand: a bounded one takes the memory of all at once.
        let known = Known { keys: LruCache::unbounded(), refused: 0 };
        Self { rate, known: Mutex::new(known) }
    }

    /// Counts a call; returns how many more may go now.
    pub(crate) fn take(&self, key: &str, now: Instant) -> Result<u32, TooMany> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = known.take(key, &self.rate, now);
        if taken.is_err() {
            known.refused += 1;
        }
        taken
    }

    /// Takes back a call that was counted a moment ago and was not made.
    pub(crate) fn give_back(&self, key: &str, now: Instant) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = known.keys.get_mut(key) {
            count.give_back(&self.rate, now);
        }
    }

    /// Returns how it stands, if anything was counted.
    pub(crate) fn standing(&self, now: Instant, of: fn(Counted) -> Limited) -> Option<Standing> {
        let rate = &self.rate;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (keys, refused) = (known.keys.len(), known.refused);
        let recent = known.keys.iter_mut().take(LOOKED_AT);
        let taken = recent.map(|(key, count)| (count.taken(rate, now), key));
        let (most, key) = taken.max_by_key(|(taken, _)| *taken)?;
        let is_one = *rate.is_by() == By::All;
        let fullest = (!is_one).then(|| key.chars().take(TOLD).collect());
        drop(known);
        let counted = Counted {
            allowed: rate.limit(),
            per: rate.per(),
            by: rate.is_by().clone(),
            keys: keys as u64,
            fullest,
        };
        Some(Standing::new(of(counted), (most, rate.size().into())).refused(refused))
    }
}

impl Known {
    fn take(&mut self, key: &str, rate: &Rate, now: Instant) -> Result<u32, TooMany> {
        if let Some(count) = self.keys.get_mut(key) {
            return count.take(rate, now);
        }
        let mut count = Count::new(rate, now);
        let taken = count.take(rate, now);
        self.keys.put(key.into(), count);
        if self.keys.len() > rate.memory() {
            self.keys.pop_lru();
        }
        taken
    }
}

impl Count {
    fn new(rate: &Rate, now: Instant) -> Self {
        match rate.kind() {
            Kind::Bucket => Self::Bucket(now),
            // One tenth is the part that is running: nine whole ones cover the time.
            Kind::Window => Self::Window(Box::new(Ring::new(rate.per() / 9 * 10, now))),
        }
    }

    fn take(&mut self, rate: &Rate, now: Instant) -> Result<u32, TooMany> {
        match self {
            Self::Bucket(full) => {
                let token = token(rate);
                let room = token.saturating_mul(rate.size());
                let missing = full.saturating_duration_since(now) + token;
                let Some(left) = room.checked_sub(missing) else {
                    return Err(TooMany { reset: missing.saturating_sub(room) });
                };
                *full = now + missing;
                let left = left.as_nanos() / token.as_nanos();
                Ok(u32::try_from(left).unwrap_or(u32::MAX))
            }
            Self::Window(ring) => {
                let [count] = ring.sums(now);
                let left = u64::from(rate.limit()).saturating_sub(count);
                if left == 0 {
                    return Err(TooMany { reset: ring.relief(now) });
                }
                ring.add(0, now);
                Ok(u32::try_from(left - 1).unwrap_or(u32::MAX))
            }
        }
    }

    fn give_back(&mut self, rate: &Rate, now: Instant) {
        match self {
            Self::Bucket(full) => {
                let missing = full.saturating_duration_since(now);
                *full = now + missing.saturating_sub(token(rate));
            }
            Self::Window(ring) => ring.take_back(0, now),
        }
    }

    /// Returns how much is taken.
    fn taken(&mut self, rate: &Rate, now: Instant) -> u64 {
        match self {
            Self::Bucket(full) => {
                let missing = full.saturating_duration_since(now);
                let tokens = missing.as_nanos().div_ceil(token(rate).as_nanos());
                u64::try_from(tokens).unwrap_or(u64::MAX)
            }
            Self::Window(ring) => {
                let [count] = ring.sums(now);
                count
            }
        }
    }
}

/// Returns how long a bucket takes to fill by one.
fn token(rate: &Rate) -> Duration {
    (rate.per() / rate.limit()).max(Duration::from_nanos(1))
}

impl fmt::Debug for Limiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limiter")
            .field("rate", &self.rate)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::{super::rate::Rate, By, Limited, Limiter, TooMany};
    use proptest::prelude::*;
    use std::time::Duration;
    use tokio::time::Instant;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_bucket_gives_what_it_holds_and_fills_evenly() {
        let now = Instant::now();
        let limiter = Limiter::new(Rate::new(10, 10 * SECOND).burst(3));
        let taken: Vec<_> = (0..4).map(|_| limiter.take("a", now)).collect();
        assert_eq!(taken, [Ok(2), Ok(1), Ok(0), Err(TooMany { reset: SECOND })]);
        assert_eq!(limiter.take("b", now), Ok(2), "each key has its own");
        assert_eq!(limiter.take("a", now + SECOND), Ok(0));
        assert_eq!(limiter.take("a", now + 100 * SECOND), Ok(2), "it overflows");
    }

    #[test]
    fn the_key_that_was_idle_longest_is_forgotten() {
        let now = Instant::now();
        let limiter = Limiter::new(Rate::new(1, SECOND).keys(2));
        assert!(
            ["a", "b", "c"]
                .iter()
                .all(|key| limiter.take(key, now).is_ok())
        );
        assert!(limiter.take("c", now).is_err());
        assert!(limiter.take("b", now).is_err());
        assert!(limiter.take("a", now).is_ok(), "it was forgotten");
    }

    #[test]
    fn it_tells_who_took_most_and_how_many_were_turned_away() {
        let now = Instant::now();
        for rate in [Rate::new(2, SECOND), Rate::new(2, SECOND).window()] {
            let limiter = Limiter::new(rate.by(By::Key));
            assert_eq!(limiter.standing(now, Limited::Rate), None);
            for key in ["ada", "bob", "bob", "bob", "eve"] {
                limiter.take(key, now).ok();
            }
            let told = limiter
                .standing(now, Limited::Rate)
                .expect("it has counted");
            assert_eq!((told.now, told.limit, told.refused), (2, 2, 1));
            let Limited::Rate(counted) = told.of else {
                panic!("{told:?}");
            };
            assert_eq!((counted.keys, counted.fullest.as_deref()), (3, Some("bob")));
            let later = limiter.standing(now + 2 * SECOND, Limited::Rate);
            assert_eq!(later.map(|told| told.now), Some(0));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_window_never_lets_more_than_its_limit_through_in_any_such_time(
            limit in 1_u32..6,
            waits in proptest::collection::vec(0_u64..400, 1..200),
        ) {
            let (start, per) = (Instant::now(), SECOND);
            let limiter = Limiter::new(Rate::new(limit, per).window());
            let mut now = start;
            let mut passed: Vec<Instant> = Vec::new();
            for wait in waits {
                now += Duration::from_millis(wait);
                match limiter.take("", now) {
                    Ok(_) => passed.push(now),
                    Err(TooMany { reset }) => {
                        prop_assert!(reset > Duration::ZERO && reset <= per * 10 / 9);
                        now += reset;
                        prop_assert!(limiter.take("", now).is_ok(), "it was to be free by now");
                        passed.push(now);
                    }
                }
                let recent = passed.iter().filter(|at| now.duration_since(**at) < per).count();
                prop_assert!(recent <= limit as usize, "{recent} within {per:?}");
            }
        }
    }
}
