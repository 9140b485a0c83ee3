use super::{
    super::ring::Ring,
    limits::{Advice, Limits},
    state::{Change, Force, Outcome, State},
};
use std::{collections::VecDeque, time::Duration};
use tokio::time::Instant;

/// The places of the window's counts.
const ALL: usize = 0;
const FAILED: usize = 1;
const SLOW: usize = 2;

/// Decides when a breaker opens and closes; knows no clock and no luck.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    limits: Limits,
    now: Position,
    /// Goes up with every change of state: what was let through in an earlier
    /// state decides nothing in a later one.
    epoch: u64,
    /// When the last failures in a row were.
    recent: VecDeque<Instant>,
    window: Ring<3>,
    /// How many probes in a row found the target still in trouble.
    streak: u32,
    /// Until when one failure is enough.
    suspected: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Position {
    Closed,
    Open { until: Instant },
    HalfOpen { out: u32, good: u32 },
    ForcedOpen,
    ForcedClosed,
}

/// What a caller gets that asks to go through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    /// It may, in this epoch.
    Granted(u64),
    /// It may not, and may ask again after a while, if that is known.
    Refused(Option<Duration>),
}

impl Machine {
    pub(crate) fn new(limits: Limits, now: Instant) -> Self {
        Self {
            now: Position::Closed,
            epoch: 0,
            recent: VecDeque::new(),
            window: Ring::new(limits.within(), now),
            streak: 0,
            suspected: None,
            limits,
        }
    }

    pub(crate) const fn epoch(&self) -> u64 {
        self.epoch
    }

    pub(crate) const fn state(&self) -> State {
        match self.now {
            Position::Closed => State::Closed,
            Position::Open { .. } => State::Open,
            Position::HalfOpen { .. } => State::HalfOpen,
            Position::ForcedOpen => State::ForcedOpen,
            Position::ForcedClosed => State::ForcedClosed,
        }
    }

    /// Returns when it may be probed; nothing unless it is open.
    pub(crate) const fn until(&self) -> Option<Instant> {
        match self.now {
            Position::Open { until } => Some(until),
            _ => None,
        }
    }

    /// Returns how many probes may still go through; nothing unless it is half-open.
    pub(crate) const fn free(&self) -> Option<u32> {
        match self.now {
            Position::HalfOpen { out, good } => {
                Some(self.limits.probe_count().saturating_sub(out + good))
            }
            _ => None,
        }
    }

    /// Whether another success would change nothing.
    pub(crate) fn is_untroubled(&self) -> bool {
        self.now == Position::Closed && self.recent.is_empty() && !self.limits.counts_rates()
    }

    /// Lets a call through, or not.
    pub(crate) fn enter(&mut self, now: Instant) -> (Entry, Option<Change>) {
        match self.now {
            Position::Closed | Position::ForcedClosed => (Entry::Granted(self.epoch), None),
            Position::Open { until } if now < until => (Entry::Refused(Some(until - now)), None),
            Position::Open { .. } => {
                let change = self.go(Position::HalfOpen { out: 1, good: 0 }, "its time is up");
                (Entry::Granted(self.epoch), Some(change))
            }
            Position::HalfOpen { out, good } if out + good < self.limits.probe_count() => {
                self.now = Position::HalfOpen { out: out + 1, good };
                (Entry::Granted(self.epoch), None)
            }
            Position::HalfOpen { .. } | Position::ForcedOpen => (Entry::Refused(None), None),
        }
    }

    /// Takes in how a call that was let through in an epoch ended.
    pub(crate) fn leave(
        &mut self,
        epoch: u64,
        (outcome, slow): (Outcome, bool),
        now: Instant,
        jitter: f64,
    ) -> Option<Change> {
        if epoch != self.epoch {
            return None;
        }
        match self.now {
            Position::Closed => self.observe(outcome, slow, now, jitter),
            Position::HalfOpen { out, good } => {
                let out = out.saturating_sub(1);
                self.probed((out, good), outcome, slow, (now, jitter))
            }
            Position::Open { .. } | Position::ForcedOpen | Position::ForcedClosed => None,
        }
    }

    /// Obeys an operator.
    pub(crate) fn force(&mut self, force: Force) -> Option<Change> {
        let to = match force {
            Force::Open => Position::ForcedOpen,
            Force::Closed => Position::ForcedClosed,
            Force::Auto => Position::Closed,
        };
        if self.now == to {
            return None;
        }
        self.streak = 0;
        Some(self.go(to, "an operator said so"))
    }

    /// Hears that another node's breaker opened for a while.
    pub(crate) fn advise(&mut self, open_for: Duration, now: Instant) -> Option<Change> {
        if self.now != Position::Closed {
            return None;
        }
        let until = now + open_for.min(self.limits.open_for(u32::MAX, 1.0));
        match self.limits.heeds() {
            Advice::Ignore => None,
            Advice::Suspect => {
                self.suspected = Some(until);
                None
            }
            Advice::Follow => {
                let mut change = self.go(Position::Open { until }, "another node's is open");
                change.retry_after = Some(until - now);
                change.advised = true;
                Some(change)
            }
        }
    }

    fn observe(
        &mut self,
        outcome: Outcome,
        slow: bool,
        now: Instant,
        jitter: f64,
    ) -> Option<Change> {
        if outcome == Outcome::Nothing {
            return None;
        }
        let failed = outcome == Outcome::Failure;
        let counted = [(ALL, true), (FAILED, failed), (SLOW, slow)];
        for (kind, _) in counted.into_iter().filter(|(_, is_so)| *is_so) {
            self.window.add(kind, now);
        }
        if failed {
            self.note_failure(now);
        } else {
            self.recent.clear();
        }
        // What succeeds in good time opens nothing.
        let reason = if failed || slow {
            self.flaw(failed, now)
        } else {
            None
        };
        reason.map(|reason| self.open(reason, now, jitter))
    }

    fn note_failure(&mut self, now: Instant) {
        let within = self.limits.within();
        self.recent.push_back(now);
        while self.recent.len() > self.limits.memory() {
            self.recent.pop_front();
        }
        self.recent
            .retain(|at| now.saturating_duration_since(*at) < within);
    }

    /// Returns why it has to open.
    fn flaw(&mut self, failed: bool, now: Instant) -> Option<&'static str> {
        if failed && self.limits.is_enough(self.recent.len()) {
            return Some("too many calls failed in a row");
        }
        if failed && self.suspected.is_some_and(|until| now < until) {
            return Some("a call failed while another node's is open");
        }
        let [all, failed, slow] = self.window.sums(now);
        self.limits.rate_reached(all, failed, slow)
    }

    fn probed(
        &mut self,
        (out, good): (u32, u32),
        outcome: Outcome,
        slow: bool,
        (now, jitter): (Instant, f64),
    ) -> Option<Change> {
        self.now = Position::HalfOpen { out, good };
        match outcome {
            Outcome::Nothing => None,
            Outcome::Success if !slow => {
                let good = good + 1;
                self.now = Position::HalfOpen { out, good };
                if good < self.limits.probe_count() {
                    return None;
                }
                self.streak = 0;
                Some(self.go(Position::Closed, "its probes succeeded"))
            }
            Outcome::Success | Outcome::Failure => {
                self.streak = self.streak.saturating_add(1);
                let reason = if slow {
                    "a probe was slow"
                } else {
                    "a probe failed"
                };
                Some(self.open(reason, now, jitter))
            }
        }
    }

    fn open(&mut self, reason: &str, now: Instant, jitter: f64) -> Change {
        let time = self.limits.open_for(self.streak, jitter);
        let mut change = self.go(Position::Open { until: now + time }, reason);
        change.retry_after = Some(time);
        change
    }

    fn go(&mut self, to: Position, reason: &str) -> Change {
        let from = self.state();
        self.now = to;
        self.epoch += 1;
        self.recent.clear();
        self.window.clear();
        self.suspected = None;
        Change {
            from,
            to: self.state(),
            reason: reason.to_owned(),
            retry_after: None,
            advised: false,
        }
    }
}
