use super::{Limited, Standing, span};
use serde::{Deserialize, Serialize};
use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::{Instant, timeout_at},
};

/// How many calls to a target may be in flight, and how many may wait for it.
///
/// 100 in flight and 100 waiting for at most 1 s by default. A slow target
/// then holds that many of its callers' calls, and not all they have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[must_use]
pub struct Bulkhead {
    in_flight: usize,
    queue: usize,
    #[serde(with = "span")]
    wait: Duration,
}

impl Bulkhead {
    /// Allows this many calls in flight, and nobody to wait.
    pub fn new(in_flight: usize) -> Self {
        Self { in_flight, queue: 0, ..Self::default() }
    }

    /// Lets this many wait on top, for so long at most.
    pub const fn queue(mut self, calls: usize, wait: Duration) -> Self {
        self.queue = calls;
        self.wait = wait;
        self
    }

    pub(crate) fn fault(&self) -> Option<String> {
        let room = 1..=1_000_000;
        if !room.contains(&self.in_flight) {
            return Some(format!(
                "`in_flight` is {}; use 1 to 1000000",
                self.in_flight
            ));
        }
        if let Some(fault) = span::too_long("wait", self.wait) {
            return Some(fault);
        }
        (self.queue > *room.end()).then(|| format!("`queue` is {}; use 0 to 1000000", self.queue))
    }
}

impl Default for Bulkhead {
    fn default() -> Self {
        Self { in_flight: 100, queue: 100, wait: Duration::from_secs(1) }
    }
}

/// The places of a bulkhead.
#[derive(Debug)]
pub(crate) struct Berths {
    bulkhead: Bulkhead,
    free: Semaphore,
    waiting: Semaphore,
    refused: AtomicU64,
}

/// Why there is no place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Crowded {
    #[error("{in_flight} calls are in flight and {queue} wait, as many as its policy allows")]
    Full { in_flight: usize, queue: usize },
    #[error("{in_flight} calls are in flight, and none ended within {waited:?}")]
    Waited { in_flight: usize, waited: Duration },
}

impl Berths {
    pub(crate) fn new(bulkhead: Bulkhead) -> Self {
        let free = Semaphore::new(bulkhead.in_flight);
        let waiting = Semaphore::new(bulkhead.queue);
        Self { bulkhead, free, waiting, refused: AtomicU64::new(0) }
    }

    /// Waits for a place, no longer than the queue's limit and the deadline.
    ///
    /// # Cancel safety
    ///
    /// Safe: a place in the queue is given up.
    pub(crate) async fn enter(&self, deadline: Instant) -> Result<SemaphorePermit<'_>, Crowded> {
        if let Ok(place) = self.free.try_acquire() {
            return Ok(place);
        }
        let entered = self.wait(deadline).await;
        if entered.is_err() {
            self.refused.fetch_add(1, Relaxed);
        }
        entered
    }

    /// Returns how it stands.
    pub(crate) fn standing(&self) -> Standing {
        let Bulkhead { in_flight, queue, .. } = self.bulkhead;
        let now = in_flight.saturating_sub(self.free.available_permits());
        let waiting = queue.saturating_sub(self.waiting.available_permits());
        let of = Limited::Bulkhead { waiting: waiting as u64, queue: queue as u64 };
        Standing::new(of, (now as u64, in_flight as u64)).refused(self.refused.load(Relaxed))
    }

    async fn wait(&self, deadline: Instant) -> Result<SemaphorePermit<'_>, Crowded> {
        let Bulkhead { in_flight, queue, wait } = self.bulkhead;
        let Ok(_turn) = self.waiting.try_acquire() else {
            return Err(Crowded::Full { in_flight, queue });
        };
        let asked = Instant::now();
        let until = deadline.min(asked + wait);
        match timeout_at(until, self.free.acquire()).await {
            Ok(Ok(place)) => Ok(place),
            _ => Err(Crowded::Waited { in_flight, waited: asked.elapsed() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Berths, Bulkhead, Crowded, Limited};
    use futures_util::FutureExt;
    use std::time::Duration;
    use tokio::time::Instant;

    #[tokio::test(start_paused = true)]
    async fn who_finds_no_place_waits_in_a_bounded_queue_for_a_bounded_time() {
        let second = Duration::from_secs(1);
        let berths = Berths::new(Bulkhead::new(1).queue(1, second));
        let far = Instant::now() + 100 * second;
        let first = berths.enter(far).await.expect("it is free");
        let mut second_in = Box::pin(berths.enter(far));
        assert!(second_in.as_mut().now_or_never().is_none(), "it waits");
        let full = berths.enter(far).await.map(drop);
        assert_eq!(full, Err(Crowded::Full { in_flight: 1, queue: 1 }));
        let standing = berths.standing();
        assert_eq!((standing.now, standing.limit, standing.refused), (1, 1, 1));
        assert_eq!(standing.of, Limited::Bulkhead { waiting: 1, queue: 1 });
        drop(first);
        let place = second_in.await.expect("its turn has come");
        let waited = berths.enter(far).await.map(drop);
        assert_eq!(
            waited,
            Err(Crowded::Waited { in_flight: 1, waited: second })
        );
        drop(place);
        assert!(berths.enter(far).await.is_ok(), "it is free again");
        assert_eq!((berths.standing().now, berths.standing().refused), (0, 2));
    }
}
