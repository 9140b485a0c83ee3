use super::{
    super::sync::{AtomicU64, Mutex, MutexGuard, Ordering},
    limits::Limits,
    machine::{Entry, Machine},
    state::{Change, Counts, Force, Outcome, State},
};
use std::{fmt, sync::PoisonError, time::Duration};
use tokio::time::Instant;

/// What the word says, in its lowest bits; the rest depends on it.
const TAG: u64 = 0b111;
const TAG_BITS: u32 = 3;
/// Closed, and another success changes nothing; the rest is the epoch.
const CALM: u64 = 0;
/// Calls go through, but every outcome matters; the rest is the epoch.
const CLOSED: u64 = 1;
/// The rest is when it may be probed, in microseconds from the gate's birth.
const OPEN: u64 = 2;
/// The rest is how many probes may still go through.
const HALF_OPEN: u64 = 3;
/// Nothing goes through.
const SHUT: u64 = 4;

/// Lets callers through at the cost of one load, and sums up what they report.
///
/// The machine behind the lock decides; the word tells what it decided. The word
/// is written under the lock only, so that whoever sees that it changed sees all
/// that led to it.
pub(crate) struct Gate {
    word: AtomicU64,
    born: Instant,
    limits: Limits,
    machine: Mutex<Machine>,
    counters: Apart,
    /// Is told of every change, in order, under the lock.
    tell: Option<Tell>,
}

type Tell = Box<dyn Fn(Change) + Send + Sync>;

/// The counters, in a cache line other than the word's.
#[repr(align(128))]
#[derive(Default)]
struct Apart {
    succeeded: AtomicU64,
    failed: AtomicU64,
    rejected: AtomicU64,
    slow: AtomicU64,
    nothing: AtomicU64,
}

/// That a call may not go through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the breaker is open")]
#[non_exhaustive]
pub struct Refused {
    /// After how long it is worth asking again; nothing while probes are under way,
    /// or an operator keeps it open.
    pub retry_after: Option<Duration>,
}

/// Leave to go through a breaker.
///
/// Dropped without an outcome, as when a call is given up, it says nothing about
/// the target; a probe's place is free again.
#[must_use = "dropping it says nothing about the target"]
pub struct Permit<'a> {
    gate: &'a Gate,
    epoch: u64,
    since: Option<Instant>,
    is_open: bool,
}

impl Gate {
    pub(crate) fn new(limits: Limits, now: Instant, tell: Option<Tell>) -> Self {
        let machine = Machine::new(limits.clone(), now);
        Self {
            word: AtomicU64::new(word(&machine, now)),
            born: now,
            limits,
            machine: Mutex::new(machine),
            counters: Apart::default(),
            tell,
        }
    }

    /// Lets a call through, or says that it may not go.
    #[inline]
    pub(crate) fn enter(&self) -> Result<Permit<'_>, Refused> {
        let word = self.word.load(Ordering::Acquire);
        if word & TAG <= CLOSED {
            let since = self.limits.watches_time().then(Instant::now);
            return Ok(self.permit(word >> TAG_BITS, since));
        }
        self.enter_at(Instant::now())
    }

    /// The same at a given time.
    pub(crate) fn enter_at(&self, now: Instant) -> Result<Permit<'_>, Refused> {
        let word = self.word.load(Ordering::Acquire);
        if word & TAG <= CLOSED {
            return Ok(self.permit(word >> TAG_BITS, Some(now)));
        }
        self.look_at(word, now)?;
        let entry = self.change(|machine| machine.enter(now));
        match entry {
            Entry::Granted(epoch) => Ok(self.permit(epoch, Some(now))),
            Entry::Refused(retry_after) => Err(self.refuse(retry_after)),
        }
    }

    /// Says at once if nothing may go through now; takes no probe's place.
    pub(crate) fn look(&self) -> Result<(), Refused> {
        let word = self.word.load(Ordering::Acquire);
        if word & TAG <= CLOSED {
            return Ok(());
        }
        self.look_at(word, Instant::now())
    }

    /// Obeys an operator.
    pub(crate) fn force(&self, force: Force) {
        self.change(|machine| ((), machine.force(force)));
    }

    /// Hears that another node's breaker opened for a while.
    pub(crate) fn advise(&self, open_for: Duration, now: Instant) {
        self.change(|machine| ((), machine.advise(open_for, now)));
    }

    /// Returns where it stands, and how long until it may be probed.
    pub(crate) fn state(&self, now: Instant) -> (State, Option<Duration>) {
        let machine = self.lock();
        let left = machine.until();
        (
            machine.state(),
            left.map(|until| until.saturating_duration_since(now)),
        )
    }

    /// Returns what went through so far.
    pub(crate) fn counts(&self) -> Counts {
        let Apart { succeeded, failed, rejected, slow, nothing } = &self.counters;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (succeeded, failed, rejected) = (read(succeeded), read(failed), read(rejected));
        Counts {
            total: succeeded + failed + rejected + read(nothing),
            succeeded,
            failed,
            rejected,
            slow: read(slow),
        }
    }

    #[inline]
    const fn permit(&self, epoch: u64, since: Option<Instant>) -> Permit<'_> {
        Permit { gate: self, epoch, since, is_open: true }
    }

    /// Says no if the word alone does.
    fn look_at(&self, word: u64, now: Instant) -> Result<(), Refused> {
        let rest = word >> TAG_BITS;
        match (word & TAG, self.left(rest, now)) {
            (SHUT, _) => Err(self.refuse(None)),
            (HALF_OPEN, _) if rest == 0 => Err(self.refuse(None)),
            (OPEN, Some(left)) => Err(self.refuse(Some(left))),
            _ => Ok(()),
        }
    }

    #[cold]
    fn refuse(&self, retry_after: Option<Duration>) -> Refused {
        self.counters.rejected.fetch_add(1, Ordering::Relaxed);
        Refused { retry_after }
    }

    /// Returns how long it stays open, if it does; `until` is as the word has it.
    fn left(&self, until: u64, now: Instant) -> Option<Duration> {
        let since = now.saturating_duration_since(self.born);
        let left = Duration::from_micros(until).checked_sub(since)?;
        (!left.is_zero()).then_some(left)
    }

    fn leave(
        &self,
        epoch: u64,
        outcome: Outcome,
        (since, now): (Option<Instant>, Option<Instant>),
    ) {
        let counter = match outcome {
            Outcome::Success => &self.counters.succeeded,
            Outcome::Failure => &self.counters.failed,
            Outcome::Nothing => &self.counters.nothing,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        let calm = epoch << TAG_BITS | CALM;
        let matters = outcome == Outcome::Failure;
        if !matters && self.word.load(Ordering::Acquire) == calm {
            return;
        }
        let now = now.unwrap_or_else(Instant::now);
        let took = since.map(|since| now.saturating_duration_since(since));
        let slow = took.is_some_and(|took| self.limits.is_slow(took));
        if slow && outcome != Outcome::Nothing {
            self.counters.slow.fetch_add(1, Ordering::Relaxed);
        }
        let ended = (outcome, slow);
        self.change(|machine| ((), machine.leave(epoch, ended, now, fastrand::f64())));
    }

    /// Lets the machine decide, and tells what it decided.
    fn change<T>(&self, decide: impl FnOnce(&mut Machine) -> (T, Option<Change>)) -> T {
        let mut machine = self.lock();
        let (answer, change) = decide(&mut machine);
        self.word
            .store(word(&machine, self.born), Ordering::Release);
        if let (Some(tell), Some(change)) = (&self.tell, change) {
            tell(change);
        }
        answer
    }

    fn lock(&self) -> MutexGuard<'_, Machine> {
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sums a machine up.
fn word(machine: &Machine, born: Instant) -> u64 {
    let (rest, tag) = match (machine.state(), machine.until(), machine.free()) {
        (State::Closed, ..) if machine.is_untroubled() => (machine.epoch(), CALM),
        (State::ForcedOpen, ..) => (0, SHUT),
        (_, Some(until), _) => (micros(until.saturating_duration_since(born)), OPEN),
        (.., Some(free)) => (u64::from(free), HALF_OPEN),
        _ => (machine.epoch(), CLOSED),
    };
    rest << TAG_BITS | tag
}

/// Rounds up, so that nobody is let through early.
fn micros(span: Duration) -> u64 {
    let micros = span.as_nanos().div_ceil(1_000);
    u64::try_from(micros)
        .unwrap_or(u64::MAX)
        .min(u64::MAX >> TAG_BITS)
}

impl Permit<'_> {
    /// Says how the call ended.
    #[inline]
    pub fn end(self, outcome: Outcome) {
        self.end_at(outcome, None);
    }

    /// The same at a given time.
    #[inline]
    pub(crate) fn end_at(mut self, outcome: Outcome, now: Option<Instant>) {
        self.is_open = false;
        self.gate.leave(self.epoch, outcome, (self.since, now));
    }
}

impl Drop for Permit<'_> {
    #[inline]
    fn drop(&mut self) {
        if self.is_open {
            self.gate.leave(self.epoch, Outcome::Nothing, (None, None));
        }
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate").finish_non_exhaustive()
    }
}

impl fmt::Debug for Permit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").finish_non_exhaustive()
    }
}
