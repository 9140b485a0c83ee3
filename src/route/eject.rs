//! Instances that fail are left out for a while: a machine that is a value.

use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, time::Duration};
use tokio::time::Instant;

/// How often in a row an instance on probation must answer to be trusted again.
const PROBATION: u32 = 5;
/// How many times the first ejection the longest one lasts.
const LONGEST: u32 = 10;

/// When an instance is left out.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Eject {
    /// After so many failures in a row.
    pub failures: u32,
    /// Or after this share of failures, of at least `calls` within `window`; 0 for never.
    pub rate: f64,
    /// How many calls a share is taken of, at least.
    pub calls: u32,
    /// The time in which they are counted.
    #[serde(with = "super::table::span")]
    pub window: Duration,
    /// How long the first time; twice, three times as long after that.
    #[serde(with = "super::table::span")]
    pub base: Duration,
    /// The largest share of the instances that is left out at a time.
    pub most: f64,
}

impl Default for Eject {
    fn default() -> Self {
        Self {
            failures: 7,
            rate: 0.0,
            calls: 20,
            window: Duration::from_secs(10),
            base: Duration::from_secs(30),
            most: 0.5,
        }
    }
}

/// An instance was left out, or is back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct News {
    /// The command or domain of the route.
    pub route: String,
    /// The instance.
    pub instance: String,
    /// For how many milliseconds it is left out; nothing if it is trusted again.
    pub ejected_ms: Option<u64>,
    /// Who says so.
    pub by: String,
}

/// How each instance did, as one caller saw it.
#[derive(Debug, Default)]
pub(super) struct Outliers(BTreeMap<String, Record>);

#[derive(Debug)]
struct Record {
    in_row: u32,
    /// Calls and failures since.
    since: Instant,
    calls: u32,
    failed: u32,
    /// How often it was left out.
    times: u32,
    until: Option<Instant>,
    /// How many more answers until it is trusted.
    probation: u32,
}

impl Record {
    fn new(now: Instant) -> Self {
        Self {
            in_row: 0,
            since: now,
            calls: 0,
            failed: 0,
            times: 0,
            until: None,
            probation: 0,
        }
    }

    fn is_out(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| now < until)
    }

    fn is_too_much(&self, eject: &Eject) -> bool {
        let share = f64::from(self.failed) / f64::from(self.calls.max(1));
        self.in_row >= eject.failures.max(1)
            || (eject.rate > 0.0 && self.calls >= eject.calls && share >= eject.rate)
    }
}

impl Outliers {
    /// Whether an instance is left out now.
    pub(super) fn is_out(&self, instance: &str, now: Instant) -> bool {
        self.0
            .get(instance)
            .is_some_and(|record| record.is_out(now))
    }

    /// Whether any is known, in or out.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Notes how a call ended; returns for how long the instance is left out from
    /// now on, zero if it is trusted again, or nothing if nothing has changed.
    pub(super) fn after(
        &mut self,
        (instance, well): (&str, bool),
        eject: &Eject,
        (now, instances): (Instant, usize),
    ) -> Option<Duration> {
        if well && !self.0.contains_key(instance) && eject.rate <= 0.0 {
            // Who never failed needs no record.
            return None;
        }
        let out = self.0.values().filter(|record| record.is_out(now)).count();
        let record = self
            .0
            .entry(instance.to_owned())
            .or_insert_with(|| Record::new(now));
        if record.is_out(now) {
            // An answer from before.
            return None;
        }
        if record.until.take().is_some() {
            record.probation = PROBATION;
        }
        if now.duration_since(record.since) >= eject.window {
            (record.since, record.calls, record.failed) = (now, 0, 0);
        }
        record.calls = record.calls.saturating_add(1);
        if well {
            record.in_row = 0;
            record.probation = record.probation.saturating_sub(1);
            if record.times > 0 && record.probation == 0 {
                record.times = 0;
                return Some(Duration::ZERO);
            }
            return None;
        }
        record.in_row += 1;
        record.failed += 1;
        let fell_again = record.probation > 0;
        if !(fell_again || record.is_too_much(eject)) || !has_room(out, instances, eject.most) {
            return None;
        }
        record.times = (record.times + 1).min(LONGEST);
        let span = eject.base * record.times;
        (record.until, record.in_row, record.probation) = (Some(now + span), 0, 0);
        (record.since, record.calls, record.failed) = (now, 0, 0);
        Some(span)
    }

    /// Forgets those that are gone.
    pub(super) fn keep(&mut self, is_there: impl Fn(&str) -> bool) {
        self.0.retain(|instance, _| is_there(instance));
    }
}

/// Whether one more may be left out.
fn has_room(out: usize, instances: usize, most: f64) -> bool {
    let count = |number| f64::from(u32::try_from(number).unwrap_or(u32::MAX));
    count(out + 1) <= count(instances) * most
}

#[cfg(test)]
mod tests {
    use super::*;

    const EJECT: Eject = Eject {
        failures: 3,
        rate: 0.5,
        calls: 10,
        window: Duration::from_secs(10),
        base: Duration::from_secs(30),
        most: 0.5,
    };

    fn fail(outliers: &mut Outliers, name: &str, times: u32, now: Instant) -> Option<Duration> {
        (0..times)
            .map(|_| outliers.after((name, false), &EJECT, (now, 4)))
            .last()
            .flatten()
    }

    fn answer(outliers: &mut Outliers, name: &str, times: u32, now: Instant) -> Option<Duration> {
        (0..times)
            .map(|_| outliers.after((name, true), &EJECT, (now, 4)))
            .last()
            .flatten()
    }

    #[test]
    fn failures_in_a_row_leave_an_instance_out_for_longer_each_time() {
        let (mut outliers, mut now) = (Outliers::default(), Instant::now());
        assert_eq!(fail(&mut outliers, "a", 2, now), None);
        answer(&mut outliers, "a", 1, now);
        assert_eq!(fail(&mut outliers, "a", 2, now), None);
        for times in 1..4 {
            let out = EJECT.base * times;
            // On probation one failure is enough.
            assert_eq!(fail(&mut outliers, "a", 1, now), Some(out));
            assert!(outliers.is_out("a", now + out - Duration::from_millis(1)));
            now += out;
            assert!(!outliers.is_out("a", now));
        }
    }

    #[test]
    fn who_answers_on_probation_is_trusted_again() {
        let (mut outliers, now) = (Outliers::default(), Instant::now());
        fail(&mut outliers, "a", 3, now);
        let later = now + EJECT.base;
        assert_eq!(answer(&mut outliers, "a", PROBATION - 1, later), None);
        assert_eq!(answer(&mut outliers, "a", 1, later), Some(Duration::ZERO));
        assert_eq!(fail(&mut outliers, "a", 2, later), None);
        assert_eq!(fail(&mut outliers, "a", 1, later), Some(EJECT.base));
    }

    #[test]
    fn a_share_of_failures_is_enough_within_its_window() {
        let (mut outliers, now) = (Outliers::default(), Instant::now());
        let mut mixed = |count: u32, now| {
            (0..count).find_map(|_| {
                answer(&mut outliers, "a", 1, now);
                fail(&mut outliers, "a", 1, now)
            })
        };
        assert_eq!(mixed(4, now), None);
        assert_eq!(mixed(4, now + EJECT.window), None, "the window is another");
        assert_eq!(mixed(1, now + EJECT.window), Some(EJECT.base));
    }

    #[test]
    fn never_more_than_half_are_left_out() {
        let (mut outliers, now) = (Outliers::default(), Instant::now());
        for name in ["a", "b"] {
            assert!(fail(&mut outliers, name, 3, now).is_some());
        }
        assert_eq!(fail(&mut outliers, "c", 50, now), None);
        assert_eq!(
            fail(&mut outliers, "c", 1, now + EJECT.base),
            Some(EJECT.base)
        );
    }
}
