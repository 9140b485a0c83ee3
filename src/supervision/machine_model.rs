//! Random lives of random groups, held against the rules written down a second time.
//!
//! The reference keeps the whole history and plain lists of names, and follows
//! the order in which OTP's manual tells the rules. It shares no code with the
//! machine but the types of questions and answers.

use super::{
    Backoff, Intensity, Strategy,
    machine::{Decision, Machine},
};
use crate::actor::{Exit, Restart};
use fastrand::Rng;
use std::time::Duration;
use tokio::time::Instant;

const LIVES: u64 = 10_000;
const ENDS_PER_LIFE: u32 = 40;

/// A group in lists: who is in it, and all that ever happened.
struct Reference {
    strategy: Strategy,
    allowed: usize,
    period_ms: u64,
    backoff_ms: (u64, u64, u64),
    /// Names and types of those present, in start order.
    list: Vec<(usize, Restart)>,
    /// Names of those in the list that finished.
    done: Vec<usize>,
    /// When there were restarts, of anyone.
    restarts_ms: Vec<u64>,
    /// The same of each child: when it was to be up again, in µs.
    up_us: Vec<Vec<u64>>,
}

/// An answer without the delay, which is compared by its bounds.
#[derive(Debug, PartialEq)]
enum Answer {
    Nothing,
    Stop {
        stop: Vec<usize>,
        gone: Vec<usize>,
        start: Vec<usize>,
    },
    GiveUp(Vec<usize>),
}

impl Reference {
    fn ended(&mut self, name: usize, exit: Exit, now_ms: u64) -> Answer {
        let Some(at) = self.list.iter().position(|child| child.0 == name) else {
            return Answer::Nothing;
        };
        if self.done.contains(&name) {
            return Answer::Nothing;
        }
        match (self.list[at].1, exit) {
            (Restart::Temporary, _) => {
                self.list.remove(at);
                return Answer::Nothing;
            }
            (Restart::Transient, Exit::Normal) => {
                self.done.push(name);
                return Answer::Nothing;
            }
            (Restart::Transient, Exit::Failed) | (Restart::Permanent, _) => {}
        }
        self.restarts_ms.push(now_ms);
        if self.restarts_in_the_last_period(now_ms) > self.allowed {
            let mut others = self.list.clone();
            others.remove(at);
            others.retain(|child| !self.done.contains(&child.0));
            return Answer::GiveUp(names(others.into_iter().rev()));
        }
        self.restarted(at)
    }

    fn restarts_in_the_last_period(&self, now_ms: u64) -> usize {
        let recent = |at: &&u64| **at + self.period_ms >= now_ms;
        self.restarts_ms.iter().filter(recent).count()
    }

    /// Splits the list in those before, the child, and those after; stops the
    /// ones concerned, and puts the list together again without the temporary ones.
    fn restarted(&mut self, at: usize) -> Answer {
        let before = self.list[..at].to_vec();
        let child = self.list[at];
        let after = self.list[at + 1..].to_vec();
        let (untouched_before, left, right, untouched_after) = match self.strategy {
            Strategy::OneForOne => (before, vec![], vec![], after),
            Strategy::RestForOne => (before, vec![], after, vec![]),
            Strategy::OneForAll => (vec![], before, after, vec![]),
        };
        let stop: Vec<_> = right
            .iter()
            .rev()
            .chain(left.iter().rev())
            .filter(|child| !self.done.contains(&child.0))
            .copied()
            .collect();
        let temporary = |c: &(usize, Restart)| c.1 == Restart::Temporary;
        let gone = stop.iter().copied().filter(|c| temporary(c));
        let start: Vec<_> = [left, vec![child], right]
            .concat()
            .into_iter()
            .filter(|c| !temporary(c))
            .collect();
        let answer = Answer::Stop {
            stop: names(stop.iter().copied()),
            gone: names(gone),
            start: names(start.iter().copied()),
        };
        self.done
            .retain(|name| start.iter().all(|child| child.0 != *name));
        self.list = [untouched_before, start, untouched_after].concat();
        answer
    }

    /// Returns the delay in µs: how long is the run of restarts that were each
    /// followed by less than the quiet time?
    fn delay_us(&mut self, name: usize, now_ms: u64, jitter: f64) -> f64 {
        let (first, max, quiet) = self.backoff_ms;
        let calm =
            |ups: &[u64], until: u64| ups.last().is_none_or(|up| up + quiet * 1_000 <= until);
        if calm(&self.up_us[name], now_ms * 1_000) {
            self.up_us[name].clear();
        }
        let full_ms = match self.up_us[name].len() {
            0 => 0,
            row => (1..row)
                .fold(first, |delay, _| (delay * 2).min(max))
                .min(max),
        };
        #[expect(clippy::cast_precision_loss, reason = "delays of seconds, in µs")]
        let delay = full_ms as f64 * 1_000.0 * (0.5 + jitter / 2.0);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "rounded"
        )]
        self.up_us[name].push(now_ms * 1_000 + delay.round() as u64);
        delay
    }
}

fn names(children: impl Iterator<Item = (usize, Restart)>) -> Vec<usize> {
    children.map(|child| child.0).collect()
}

#[test]
fn ten_thousand_random_groups_live_by_the_rules() {
    let first = fastrand::u64(..u64::MAX - LIVES);
    let mut tally = [0_u32; 3];
    for seed in first..first + LIVES {
        live(seed, &mut tally);
    }
    let [removed, restarted, escalated] = tally;
    assert!(
        removed > 1_000 && restarted > 10_000 && escalated > 1_000,
        "the lives from seed {first} were too dull: {tally:?}"
    );
}

/// Lives one life; a failure names the seed, with which it can be lived again.
fn live(seed: u64, tally: &mut [u32; 3]) {
    let mut rng = Rng::with_seed(seed);
    let (mut machine, mut reference) = born(&mut rng);
    let children = reference.up_us.len();
    let (start, mut now_ms) = (Instant::now(), 0);
    for step in 0..ENDS_PER_LIFE {
        now_ms += pause_ms(&mut rng, &reference);
        let name = rng.usize(..children);
        let exit = if rng.u8(..4) == 0 {
            Exit::Normal
        } else {
            Exit::Failed
        };
        // Halves and quarters only: both sides then round to the same µs.
        let jitter = f64::from(rng.u8(..4)) / 4.0;

        let expected = reference.ended(name, exit, now_ms);
        let now = start + Duration::from_millis(now_ms);
        let decision = machine.ended(name, exit, now, jitter);
        let context = format!("seed {seed}, step {step}: {exit:?} of {name} at {now_ms} ms");
        let (answer, after) = taken_apart(decision);
        assert_eq!(answer, expected, "{context}");
        match answer {
            Answer::Nothing => tally[0] += 1,
            Answer::Stop { .. } => {
                tally[1] += 1;
                let micros = after.as_secs_f64() * 1e6;
                let wanted = reference.delay_us(name, now_ms, jitter);
                assert!(
                    (micros - wanted).abs() < 1.0,
                    "{context}: {micros} µs, not {wanted}"
                );
            }
            Answer::GiveUp(_) => {
                tally[2] += 1;
                return;
            }
        }
    }
}

fn born(rng: &mut Rng) -> (Machine, Reference) {
    let strategies = [
        Strategy::OneForOne,
        Strategy::OneForAll,
        Strategy::RestForOne,
    ];
    let types = [Restart::Permanent, Restart::Transient, Restart::Temporary];
    let strategy = strategies[rng.usize(..3)];
    let children: Vec<_> = (0..rng.usize(1..=7))
        .map(|_| types[rng.usize(..3)])
        .collect();
    let (allowed, period_ms) = (rng.u32(..6), rng.u64(1..2_000));
    let (first, max, quiet) = (rng.u64(..100), rng.u64(1..1_000), rng.u64(1..2_000));
    let ms = Duration::from_millis;
    let reference = Reference {
        strategy,
        allowed: allowed as usize,
        period_ms,
        backoff_ms: (first, max, quiet),
        list: children.iter().copied().enumerate().collect(),
        done: Vec::new(),
        restarts_ms: Vec::new(),
        up_us: vec![Vec::new(); children.len()],
    };
    let intensity = Intensity { restarts: allowed, period: ms(period_ms) };
    let backoff = Backoff::default()
        .first(ms(first))
        .max(ms(max))
        .quiet(ms(quiet));
    (
        Machine::new(strategy, intensity, backoff, children),
        reference,
    )
}

/// Likes the edges: just inside, at, and just outside of the period and the quiet time.
fn pause_ms(rng: &mut Rng, reference: &Reference) -> u64 {
    let edge = match rng.u8(..4) {
        0 => reference.period_ms,
        1 => reference.backoff_ms.2,
        2 => return rng.u64(..10),
        _ => return rng.u64(..3_000),
    };
    edge - 1 + rng.u64(..3)
}

fn taken_apart(decision: Decision) -> (Answer, Duration) {
    match decision {
        Decision::Remove => (Answer::Nothing, Duration::ZERO),
        Decision::Restart { stop, remove, start, after } => {
            (Answer::Stop { stop, gone: remove, start }, after)
        }
        Decision::Escalate { stop } => (Answer::GiveUp(stop), Duration::ZERO),
    }
}
