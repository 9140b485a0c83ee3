//! How each instance did, and when it is left out: a machine that is a value.

use super::{Eject, Sign};
use crate::time::UsualTime;
use std::{collections::BTreeMap, time::Duration};
use tokio::time::Instant;

/// How often in a row an instance on probation must answer to be trusted again.
const PROBATION: u32 = 5;
/// How many times the first ejection the longest one lasts.
const LONGEST: u32 = 10;

/// How a call to an instance ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct End<'a> {
    pub(super) instance: &'a str,
    /// What it says of the instance.
    pub(super) sign: Sign,
    pub(super) started: Instant,
    pub(super) ended: Instant,
}

/// How each instance did, as one caller saw it.
#[derive(Debug, Default)]
pub(super) struct Outliers {
    records: BTreeMap<String, Record>,
    /// How long replies of all of them usually take.
    usual: UsualTime,
}

#[derive(Debug)]
struct Record {
    in_row: u32,
    /// Calls and failures since.
    since: Instant,
    calls: u32,
    failed: u32,
    /// How often it was left out.
    times: u32,
    /// When it was left out last, and until when.
    left: Option<Instant>,
    until: Option<Instant>,
    /// How many more answers until it is trusted.
    probation: u32,
    /// Whether a call finds out how it is now.
    is_probed: bool,
}

impl Record {
    fn new(now: Instant) -> Self {
        Self {
            in_row: 0,
            since: now,
            calls: 0,
            failed: 0,
            times: 0,
            left: None,
            until: None,
            probation: 0,
            is_probed: false,
        }
    }

    fn is_out(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| now < until)
    }

    fn is_on_probation(&self, now: Instant) -> bool {
        self.probation > 0 || self.until.is_some_and(|until| now >= until)
    }

    fn is_too_much(&self, eject: &Eject) -> bool {
        let share = f64::from(self.failed) / f64::from(self.calls.max(1));
        (eject.failures > 0 && self.in_row >= eject.failures)
            || (eject.rate > 0.0 && self.calls >= eject.calls && share >= eject.rate)
    }

    /// Returns zero if it is trusted again with this answer.
    fn answered(&mut self) -> Option<Duration> {
        self.in_row = 0;
        self.probation = self.probation.saturating_sub(1);
        if self.times == 0 || self.probation > 0 {
            return None;
        }
        self.times = 0;
        Some(Duration::ZERO)
    }

    /// Returns for how long it is left out.
    fn leave_out(&mut self, base: Duration, now: Instant) -> Duration {
        self.times = (self.times + 1).min(LONGEST);
        let span = base * self.times;
        (self.left, self.until) = (Some(now), Some(now + span));
        (self.in_row, self.probation) = (0, 0);
        (self.since, self.calls, self.failed) = (now, 0, 0);
        span
    }
}

impl Eject {
    /// Whether a time is longer than a reply may take.
    fn is_slow(&self, time: Duration) -> bool {
        self.slow.is_some_and(|slow| time > slow)
    }
}

impl Outliers {
    /// Whether a call ended as it should, in time, too; nothing if it does not say.
    /// Silence says nothing if the caller did not wait as long as is due, as with
    /// breakers.
    fn judge(&self, end: &End<'_>, eject: &Eject) -> Option<bool> {
        match end.sign {
            Sign::Answered => {
                let took = end.ended.duration_since(end.started);
                self.usual.took(took);
                Some(!eject.is_slow(took))
            }
            Sign::Failed => Some(false),
            Sign::Silent { had, given } => {
                let was_due = eject.is_slow(had) || self.usual.was_due(had, given);
                was_due.then_some(false)
            }
        }
    }

    /// Whether an instance is left out now.
    pub(super) fn is_out(&self, instance: &str, now: Instant) -> bool {
        self.records
            .get(instance)
            .is_some_and(|record| record.is_out(now))
    }

    /// Whether any is known, in or out.
    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Whether an instance may get another call: one on probation gets one at a time.
    pub(super) fn admits(&self, instance: &str, now: Instant) -> bool {
        let record = self.records.get(instance);
        let is_busy = |it: &Record| it.is_probed && it.is_on_probation(now);
        record.is_none_or(|it| !(it.is_out(now) || is_busy(it)))
    }

    /// Notes that an instance gets a call; returns whether that is its probe, which is
    /// to be [given back](Self::probed).
    pub(super) fn probe(&mut self, instance: &str, now: Instant) -> bool {
        let record = self.records.get_mut(instance);
        let free = record.filter(|it| !it.is_probed && !it.is_out(now) && it.is_on_probation(now));
        free.map(|record| record.is_probed = true).is_some()
    }

    /// Notes that a probe is over, however it ended.
    pub(super) fn probed(&mut self, instance: &str) {
        if let Some(record) = self.records.get_mut(instance) {
            record.is_probed = false;
        }
    }

    /// Notes how a call ended; returns for how long the instance is left out from
    /// now on, zero if it is trusted again, or nothing if nothing has changed.
    ///
    /// Of those that could have got the call, only so many are left out at a time.
    pub(super) fn after<'a>(
        &mut self,
        end: &End<'_>,
        eject: &Eject,
        able: impl IntoIterator<Item = &'a str>,
    ) -> Option<Duration> {
        let (now, well) = (end.ended, self.judge(end, eject)?);
        if well && !self.records.contains_key(end.instance) && eject.rate <= 0.0 {
            // Who never failed needs no record.
            return None;
        }
        let record = self
            .records
            .entry(end.instance.to_owned())
            .or_insert_with(|| Record::new(now));
        if record.is_out(now) || record.left.is_some_and(|left| end.started < left) {
            // A call from before says nothing of how it is on probation.
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
            return record.answered();
        }
        record.in_row += 1;
        record.failed += 1;
        let fell_again = record.probation > 0;
        if !(fell_again || record.is_too_much(eject)) || !self.has_room(able, eject.most, now) {
            return None;
        }
        let record = self.records.get_mut(end.instance)?;
        Some(record.leave_out(eject.base, now))
    }

    /// Forgets those that are gone.
    pub(super) fn keep(&mut self, is_there: impl Fn(&str) -> bool) {
        self.records.retain(|instance, _| is_there(instance));
    }

    /// Returns who is left out now, for how long more, and how often it was.
    pub(super) fn out(&self, now: Instant) -> impl Iterator<Item = (&str, Duration, u32)> {
        let out = self
            .records
            .iter()
            .filter(move |(_, record)| record.is_out(now));
        out.filter_map(move |(instance, record)| {
            let left = record.until?.duration_since(now);
            Some((&**instance, left, record.times))
        })
    }

    /// Whether one more of these may be left out.
    fn has_room<'a>(
        &self,
        able: impl IntoIterator<Item = &'a str>,
        most: f64,
        now: Instant,
    ) -> bool {
        let (mut all, mut out) = (0_u32, 0_u32);
        for instance in able {
            all += 1;
            out += u32::from(self.is_out(instance, now));
        }
        f64::from(out + 1) <= f64::from(all) * most
    }
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
        slow: Some(Duration::from_millis(100)),
    };

    const ALL: [&str; 4] = ["a", "b", "c", "d"];

    fn end(instance: &str, well: bool, now: Instant) -> End<'_> {
        let sign = if well { Sign::Answered } else { Sign::Failed };
        End { instance, sign, started: now, ended: now }
    }

    fn fail(outliers: &mut Outliers, name: &str, times: u32, now: Instant) -> Option<Duration> {
        (0..times)
            .map(|_| outliers.after(&end(name, false, now), &EJECT, ALL))
            .last()
            .flatten()
    }

    fn answer(outliers: &mut Outliers, name: &str, times: u32, now: Instant) -> Option<Duration> {
        (0..times)
            .map(|_| outliers.after(&end(name, true, now), &EJECT, ALL))
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

    #[test]
    fn an_answer_that_takes_too_long_is_a_failure() {
        let (mut outliers, now) = (Outliers::default(), Instant::now());
        let mut answer = |took| {
            let ended = now + Duration::from_millis(took);
            let end = End { instance: "a", sign: Sign::Answered, started: now, ended };
            outliers.after(&end, &EJECT, ALL)
        };
        assert_eq!([answer(101), answer(100), answer(101)], [None; 3]);
        assert_eq!([answer(101), answer(101)], [None, Some(EJECT.base)]);
    }

    #[test]
    fn silence_speaks_against_an_instance_only_if_it_had_the_time_that_is_due() {
        let (now, ms) = (Instant::now(), Duration::from_millis);
        let patient = Eject { slow: None, ..EJECT };
        let silent = |outliers: &mut Outliers, had, eject: &Eject| {
            let sign = Sign::Silent { had: ms(had), given: ms(1_000) };
            let end = End { instance: "a", sign, started: now, ended: now + ms(had) };
            (0..50).find_map(|_| outliers.after(&end, eject, ALL))
        };
        let fresh = Outliers::default;
        assert_eq!(silent(&mut fresh(), 899, &patient), None);
        assert_eq!(silent(&mut fresh(), 900, &patient), Some(EJECT.base));
        assert_eq!(silent(&mut fresh(), 101, &EJECT), Some(EJECT.base), "slow");
        let mut outliers = fresh();
        let end = End { ended: now + ms(10), ..end("b", true, now) };
        assert_eq!(outliers.after(&end, &patient, ALL), None);
        assert_eq!(silent(&mut outliers, 20, &patient), None);
        assert_eq!(silent(&mut outliers, 21, &patient), Some(EJECT.base));
    }

    #[test]
    fn on_probation_an_instance_gets_one_call_at_a_time() {
        let (mut outliers, now) = (Outliers::default(), Instant::now());
        assert!(!outliers.probe("a", now), "nothing is known of it");
        fail(&mut outliers, "a", 3, now);
        assert!(!outliers.probe("a", now) && !outliers.admits("a", now));
        let later = now + EJECT.base;
        for _ in 0..PROBATION {
            assert!(outliers.admits("a", later) && outliers.probe("a", later));
            assert!(!outliers.admits("a", later) && !outliers.probe("a", later));
            answer(&mut outliers, "a", 1, later);
            outliers.probed("a");
        }
        assert!(outliers.admits("a", later) && !outliers.probe("a", later));
    }

    #[test]
    fn calls_from_before_say_nothing_of_an_instance_on_probation() {
        let (mut outliers, now) = (Outliers::default(), Instant::now());
        let begun = now + Duration::from_secs(1);
        fail(&mut outliers, "a", 3, begun);
        let later = begun + EJECT.base;
        for sign in [Sign::Failed, Sign::Answered] {
            let old = End { instance: "a", sign, started: now, ended: later };
            assert_eq!(outliers.after(&old, &EJECT, ALL), None);
        }
        assert_eq!(answer(&mut outliers, "a", PROBATION - 1, later), None);
        assert_eq!(answer(&mut outliers, "a", 1, later), Some(Duration::ZERO));
    }

    #[test]
    fn those_of_another_version_that_are_left_out_count_for_nothing() {
        let (mut outliers, now) = (Outliers::default(), Instant::now());
        let mut fail = |name: &str, able: [&'static str; 2]| {
            (0..3).find_map(|_| outliers.after(&end(name, false, now), &EJECT, able))
        };
        for (name, able) in [("a", ["a", "b"]), ("c", ["c", "d"])] {
            assert_eq!(fail(name, able), Some(EJECT.base), "{name}");
        }
        assert_eq!(fail("d", ["c", "d"]), None);
    }

    #[test]
    fn without_failures_in_a_row_the_rate_alone_decides() {
        let (mut outliers, now) = (Outliers::default(), Instant::now());
        let eject = Eject { failures: 0, ..EJECT };
        let mut fail = || outliers.after(&end("a", false, now), &eject, ALL);
        assert!((1..10).all(|_| fail().is_none()));
        assert_eq!(fail(), Some(EJECT.base));
    }
}
