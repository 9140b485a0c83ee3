//! Random histories: the breaker's machine against a reference that keeps everything and
//! counts by the words of the documentation.

use super::breaker::{Entry, Force, Limits, Machine, Outcome, State};
use proptest::{collection::vec, prelude::*};
use std::time::Duration;
use tokio::time::Instant;

/// What happens next, after so many milliseconds.
#[derive(Clone, Debug)]
enum Step {
    Enter,
    /// The n-th of those inside leaves.
    Leave(usize, Outcome, bool),
    Force(Force),
}

#[derive(Clone, Copy, Debug)]
struct Rules {
    failures: u32,
    within: u64,
    open: u64,
    max_open: u64,
    probes: u32,
    failure_rate: Option<f64>,
    slow_rate: Option<f64>,
    min_calls: u32,
}

impl Rules {
    fn limits(self) -> Limits {
        let ms = Duration::from_millis;
        let limits = Limits::new()
            .failures(self.failures, ms(self.within))
            .open(ms(self.open), ms(self.max_open))
            .probes(self.probes)
            .min_calls(self.min_calls);
        let limits = match self.failure_rate {
            Some(rate) => limits.failure_rate(rate),
            None => limits,
        };
        match self.slow_rate {
            Some(rate) => limits.slow_rate(rate, ms(10)),
            None => limits,
        }
    }
}

/// The reference: a log of what was said since the last change, and its readings.
struct Reference {
    rules: Rules,
    state: State,
    since: u64,
    open_ms: u64,
    streak: u32,
    life: u64,
    /// When, and whether it failed and was slow.
    log: Vec<(u64, bool, bool)>,
    out: u32,
    good: u32,
}

impl Reference {
    fn turn(&mut self, state: State, now: u64) {
        self.state = state;
        self.since = now;
        self.life += 1;
        self.log.clear();
        (self.out, self.good) = (0, 0);
    }

    fn open(&mut self, now: u64) {
        let doubled = self.rules.open.saturating_mul(1 << self.streak.min(20));
        self.open_ms = doubled.min(self.rules.max_open);
        self.turn(State::Open, now);
    }

    fn enter(&mut self, now: u64) -> bool {
        if self.state == State::Open && now >= self.since + self.open_ms {
            self.turn(State::HalfOpen, now);
        }
        let granted = match self.state {
            State::Closed | State::ForcedClosed => true,
            State::Open | State::ForcedOpen => false,
            State::HalfOpen => self.out + self.good < self.rules.probes,
        };
        self.out += u32::from(granted);
        granted
    }

    fn leave(&mut self, life: u64, outcome: Outcome, slow: bool, now: u64) {
        if life != self.life {
            return;
        }
        self.out -= 1;
        let failed = outcome == Outcome::Failure;
        match self.state {
            _ if outcome == Outcome::Nothing => {}
            State::Closed => {
                self.log.push((now, failed, slow));
                if (failed || slow) && self.must_open(failed, now) {
                    self.open(now);
                }
            }
            State::HalfOpen if failed || slow => {
                self.streak += 1;
                self.open(now);
            }
            State::HalfOpen => {
                self.good += 1;
                if self.good == self.rules.probes {
                    self.streak = 0;
                    self.turn(State::Closed, now);
                }
            }
            State::Open | State::ForcedOpen | State::ForcedClosed => {}
        }
    }

    fn must_open(&self, failed: bool, now: u64) -> bool {
        let in_a_row = self.log.iter().rev().take_while(|(_, failed, _)| *failed);
        let in_a_row = in_a_row.filter(|(at, ..)| now - at < self.rules.within);
        let enough = u64::from(self.rules.failures);
        if failed && enough > 0 && in_a_row.count() as u64 >= enough {
            return true;
        }
        let part = self.rules.within / 10;
        let recent = |at: u64| now / part - at / part < 10;
        let window: Vec<_> = self.log.iter().filter(|(at, ..)| recent(*at)).collect();
        let (all, min) = (window.len(), self.rules.min_calls.max(1) as usize);
        let reaches =
            |rate: Option<f64>, count: usize| rate.is_some_and(|rate| share(count, all) >= rate);
        let failed = window.iter().filter(|(_, failed, _)| *failed).count();
        let slow = window.iter().filter(|(.., slow)| *slow).count();
        all >= min
            && (reaches(self.rules.failure_rate, failed) || reaches(self.rules.slow_rate, slow))
    }

    fn force(&mut self, force: Force, now: u64) {
        let to = match force {
            Force::Open => State::ForcedOpen,
            Force::Closed => State::ForcedClosed,
            Force::Auto => State::Closed,
        };
        if to != self.state {
            self.streak = 0;
            self.turn(to, now);
        }
    }
}

fn share(count: usize, of: usize) -> f64 {
    let number = |count| f64::from(u32::try_from(count).expect("a short history"));
    number(count) / number(of)
}

fn rules() -> impl Strategy<Value = Rules> {
    let rate = || prop::option::weighted(0.4, 0.1..=1.0_f64);
    let times = (1_u64..30, 1_u64..200, 1_u64..20);
    (0_u32..5, times, 1_u32..4, rate(), rate(), 0_u32..8).prop_map(
        |(failures, (within, open, times), probes, failure_rate, slow_rate, min_calls)| Rules {
            failures: if failure_rate.is_none() && slow_rate.is_none() {
                failures.max(1)
            } else {
                failures
            },
            within: within * 10,
            open,
            max_open: open * times,
            probes,
            failure_rate,
            slow_rate,
            min_calls,
        },
    )
}

fn step() -> impl Strategy<Value = Step> {
    let outcome = prop_oneof![
        4 => Just(Outcome::Success),
        4 => Just(Outcome::Failure),
        1 => Just(Outcome::Nothing),
    ];
    let force = prop_oneof![Just(Force::Open), Just(Force::Closed), Just(Force::Auto)];
    prop_oneof![
        20 => Just(Step::Enter),
        20 => (any::<prop::sample::Index>(), outcome, prop::bool::weighted(0.2))
            .prop_map(|(which, outcome, slow)| Step::Leave(which.index(1 << 16), outcome, slow)),
        1 => force.prop_map(Step::Force),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_history_goes_as_a_simple_reference_says(
        rules in rules(),
        steps in vec((step(), prop_oneof![3 => 0_u64..4, 1 => 0_u64..300]), 0..120),
    ) {
        let born = Instant::now();
        let mut machine = Machine::new(rules.limits(), born);
        let mut reference = Reference {
            rules, state: State::Closed, since: 0, open_ms: 0, streak: 0, life: 0,
            log: Vec::new(), out: 0, good: 0,
        };
        let mut inside: Vec<(u64, u64)> = Vec::new();
        let mut now = 0;
        for (step, wait) in steps {
            now += wait;
            let at = born + Duration::from_millis(now);
            match step {
                Step::Enter => {
                    let (entry, _) = machine.enter(at);
                    let granted = reference.enter(now);
                    prop_assert_eq!(matches!(entry, Entry::Granted(_)), granted);
                    if let Entry::Granted(epoch) = entry {
                        inside.push((epoch, reference.life));
                    }
                }
                Step::Leave(which, outcome, slow) if !inside.is_empty() => {
                    let slow = slow && rules.slow_rate.is_some();
                    let (epoch, life) = inside.swap_remove(which % inside.len());
                    machine.leave(epoch, (outcome, slow), at, 0.0);
                    reference.leave(life, outcome, slow, now);
                }
                Step::Leave(..) => {}
                Step::Force(force) => {
                    machine.force(force);
                    reference.force(force, now);
                }
            }
            prop_assert_eq!(machine.state(), reference.state);
            let probing = inside.iter().filter(|(epoch, _)| *epoch == machine.epoch()).count();
            if machine.state() == State::HalfOpen {
                prop_assert!(probing <= rules.probes as usize, "{} probes are out", probing);
            }
        }
    }
}
