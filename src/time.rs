//! The one place that reads the wall clock.
//!
//! [`Clock`] tells the time of day. The system's clock is for production; a
//! virtual one starts at a fixed instant and follows tokio's clock, so a
//! paused test sees the same times in every run. Durations and timers are
//! tokio's business, not this room's; but for how long replies usually take.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{Duration, SystemTime},
};
use tokio::time::Instant;

/// Where a virtual clock starts: 2026-01-01T00:00:00Z.
const VIRTUAL_START: Duration = Duration::from_hours(20_454 * 24);

/// Tells the time of day.
#[derive(Clone, Copy, Debug)]
pub struct Clock(Kind);

#[derive(Clone, Copy, Debug)]
enum Kind {
    System,
    Virtual { since: Instant },
}

impl Clock {
    /// Returns the clock of the operating system.
    pub const fn system() -> Self {
        Self(Kind::System)
    }

    /// Returns a clock that reads 2026-01-01T00:00:00Z now and follows tokio's
    /// clock from here on, also while that one is paused.
    pub fn starting_now() -> Self {
        Self(Kind::Virtual { since: Instant::now() })
    }

    /// Returns the time of day.
    pub fn now(self) -> SystemTime {
        match self.0 {
            #[expect(clippy::disallowed_methods, reason = "the one place that may")]
            Kind::System => SystemTime::now(),
            Kind::Virtual { since } => SystemTime::UNIX_EPOCH + VIRTUAL_START + since.elapsed(),
        }
    }

    /// Returns the time of day in milliseconds since 1970, as headers carry it.
    pub fn unix_ms(self) -> u64 {
        unix_ms(self.now())
    }
}

/// How long replies usually take: near the slowest of many.
#[derive(Debug, Default)]
pub(crate) struct UsualTime {
    /// In microseconds; 0 before the first reply.
    micros: AtomicU64,
}

impl UsualTime {
    /// Begins with what another one knows.
    pub(crate) fn like(other: &Self) -> Self {
        Self { micros: AtomicU64::new(other.micros.load(Relaxed)) }
    }

    /// Whether any reply was noted.
    pub(crate) fn is_known(&self) -> bool {
        self.micros.load(Relaxed) > 0
    }

    /// Notes how long a reply took.
    pub(crate) fn took(&self, time: Duration) {
        let took = u64::try_from(time.as_micros()).unwrap_or(u64::MAX).max(1);
        let usual = self.micros.load(Relaxed);
        // Up fast and down slowly, so that it comes to stand near the slowest of many.
        // One that is lost between two that note at once does not matter.
        let next = match usual {
            0 => took,
            _ if took > usual => usual + (took - usual) / 4,
            _ => usual - (usual - took) / 64,
        };
        self.micros.store(next.max(1), Relaxed);
    }

    /// Whether the time that one attempt had was the callee's due, so that silence
    /// speaks against the callee and not against an impatient caller: what it is given,
    /// or twice what its replies usually take.
    pub(crate) fn was_due(&self, had: Duration, given: Duration) -> bool {
        // A tenth may have gone by on the way.
        if had >= given.mul_f64(0.9) {
            return true;
        }
        let usual = self.micros.load(Relaxed);
        usual > 0 && had.as_micros() > u128::from(usual).saturating_mul(2)
    }
}

/// Returns a time in milliseconds since 1970; times before it are 0.
pub(crate) fn unix_ms(time: SystemTime) -> u64 {
    let since = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// The last millisecond of the year 9999, beyond which RFC 3339 cannot write a time.
const LAST_MS: u64 = 253_402_300_799_999;

/// Returns the time that is this many milliseconds after 1970; one after the year 9999
/// becomes its end, so that every time can be written.
pub(crate) fn from_unix_ms(ms: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(ms.min(LAST_MS))
}
