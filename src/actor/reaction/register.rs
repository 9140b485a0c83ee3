use super::redriven::Redriven;
use crate::{call::ParkRecord, message::Act};
use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    sync::Arc,
    time::Duration,
};
use tokio::time::Instant;

/// How long a reader elsewhere may say nothing of a key that it lets go on.
pub(super) const SILENT: Duration = Duration::from_secs(30);

/// How often a key can be parked while it is remembered what was handled each time.
const RANGES: usize = 64;

/// Which keys of one partition are parked, as far as is known here.
///
/// A pure machine over the records: it holds places, never events.
#[derive(Debug, Default)]
pub(super) struct Register {
    keys: HashMap<Arc<str>, Entry>,
    /// Keys that go on, with what was handled each time they were parked, in order:
    /// from, through.
    passed: HashMap<Arc<str>, VecDeque<(u64, u64)>>,
    /// Keys that shall go on and do not yet, in the order in which it was asked.
    queue: BTreeMap<u64, Arc<str>>,
    /// Dead letters that shall be handled again.
    pub(super) letters: Redriven,
    /// The last record that was read.
    read: u64,
}

/// What is known of one parked key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// The key's last record.
    pub(super) record: u64,
    /// The first event that waits.
    pub(super) from: u64,
    /// The last event that came here while it was parked.
    pub(super) seen: u64,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nobody said how to go on.
    Parked,
    /// Somebody did.
    Asked,
    /// Another reader lets it go on, and said so at this time.
    Elsewhere(Instant),
    /// This reader does.
    Here,
    /// This reader did, and nothing waits any more; that is being noted.
    Ending,
}

/// What becomes of an event that comes now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It is handled.
    Free,
    /// It was handled while its key was parked.
    Passed,
    /// It waits in the stream.
    Waits,
    /// It would wait, but its key is nobody's yet to let go on.
    Unclaimed,
    /// It may be handled elsewhere.
    Elsewhere,
}

impl Register {
    /// Takes a record in. `me` is how this reader signs.
    pub(super) fn apply(&mut self, record: &ParkRecord, me: &str, now: Instant) {
        if record.subject.split('.').nth(2) == Some("letter") {
            return self.letters.apply(record, me, now);
        }
        let park = &record.park;
        let key: Arc<str> = park.key.as_str().into();
        let known = self.keys.get(&key).copied();
        if known.is_some_and(|known| known.record >= record.sequence) {
            return;
        }
        let phase = match record.act {
            Act::Parked => Phase::Parked,
            Act::Retried | Act::Skipped | Act::Amended => Phase::Asked,
            Act::Draining if park.by.is_empty() => Phase::Asked,
            Act::Draining if park.by == me => match known {
                // It reads what it wrote, maybe without hearing of it.
                Some(known) if known.phase == Phase::Ending => Phase::Ending,
                Some(known) if known.phase == Phase::Here => Phase::Here,
                _ => Phase::Asked,
            },
            Act::Draining => Phase::Elsewhere(now),
            Act::Released => {
                let seen = known.map_or(0, |known| known.seen);
                if seen <= park.sequence {
                    return self.released(&key, park.from, park.sequence);
                }
                // Something was put aside here that nobody handled.
                Phase::Asked
            }
            Act::Redriven => return,
        };
        self.put(&key, (record.sequence, park.from), phase);
    }

    fn put(&mut self, key: &Arc<str>, (record, from): (u64, u64), phase: Phase) {
        let before = self.keys.get(key).copied();
        if let Some(before) = before {
            self.queue.remove(&before.record);
        }
        if phase == Phase::Asked {
            self.queue.insert(record, Arc::clone(key));
        }
        let seen = before.map_or(0, |before| before.seen);
        let entry = Entry { record, from, seen, phase };
        self.keys.insert(Arc::clone(key), entry);
    }

    /// Notes that a key was parked here.
    pub(super) fn parked(&mut self, key: &Arc<str>, record: u64, from: u64) {
        self.put(key, (record, from), Phase::Parked);
    }

    /// Notes that this reader lets a key go on, or is further with it.
    pub(super) fn claimed(&mut self, key: &Arc<str>, record: u64, from: u64) {
        self.put(key, (record, from), Phase::Here);
    }

    /// Notes that nothing of a key waits here, which is not written down yet.
    pub(super) fn ending(&mut self, key: &str) {
        self.set(key, Phase::Ending);
    }

    /// Notes that somebody else wrote what is to become of a key.
    pub(super) fn lost(&mut self, key: &str, now: Instant) {
        let entry = self.keys.get(key);
        if entry.is_some_and(|entry| matches!(entry.phase, Phase::Here | Phase::Ending)) {
            self.set(key, Phase::Elsewhere(now));
        }
    }

    fn set(&mut self, key: &str, phase: Phase) {
        if let Some(entry) = self.keys.get_mut(key) {
            self.queue.remove(&entry.record);
            entry.phase = phase;
        }
    }

    /// Notes that nothing of a key waits any more.
    pub(super) fn released(&mut self, key: &Arc<str>, from: u64, through: u64) {
        if let Some(entry) = self.keys.remove(key) {
            self.queue.remove(&entry.record);
        }
        let passed = self.passed.entry(Arc::clone(key)).or_default();
        if passed.len() == RANGES {
            passed.pop_front();
        }
        passed.push_back((from, through));
    }

    /// Returns what is known of a parked key.
    pub(super) fn get(&self, key: &str) -> Option<Entry> {
        self.keys.get(key).copied()
    }

    /// Says what becomes of an event.
    pub(super) fn standing(&self, key: &str, sequence: u64) -> Standing {
        let mut passed = self.passed.get(key).into_iter().flatten();
        if passed.any(|(from, through)| (*from..=*through).contains(&sequence)) {
            return Standing::Passed;
        }
        match self.keys.get(key) {
            Some(entry) if sequence >= entry.from => match entry.phase {
                Phase::Parked | Phase::Here => Standing::Waits,
                Phase::Asked | Phase::Ending => Standing::Unclaimed,
                Phase::Elsewhere(_) => Standing::Elsewhere,
            },
            _ => Standing::Free,
        }
    }

    /// Notes an event that waits in the stream.
    pub(super) fn seen(&mut self, key: &str, sequence: u64) {
        if let Some(entry) = self.keys.get_mut(key) {
            entry.seen = entry.seen.max(sequence);
        }
    }

    /// Whether a key shall go on and nobody saw to it.
    pub(super) fn is_asked(&self, key: &str) -> bool {
        let entry = self.keys.get(key);
        entry.is_some_and(|entry| entry.phase == Phase::Asked)
    }

    /// Returns the key that has waited longest to go on, of those that are not
    /// being claimed.
    pub(super) fn asked(&self, claims: &HashSet<Arc<str>>) -> Option<Arc<str>> {
        let mut keys = self.queue.values();
        keys.find(|key| !claims.contains(*key)).map(Arc::clone)
    }

    /// Takes over what readers elsewhere began and say nothing of any more.
    pub(super) fn inherit(&mut self, now: Instant) {
        self.letters.inherit(now);
        for (key, entry) in &mut self.keys {
            if let Phase::Elsewhere(since) = entry.phase
                && now.duration_since(since) >= SILENT
            {
                entry.phase = Phase::Asked;
                self.queue.insert(entry.record, Arc::clone(key));
            }
        }
    }

    /// Forgets what came by, once the consumer will not bring it again.
    pub(super) fn prune(&mut self, floor: u64) {
        self.passed.retain(|_, passed| {
            passed.retain(|(_, through)| *through > floor);
            !passed.is_empty()
        });
    }

    /// Returns how many keys are parked.
    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Returns how many keys went on and may be met again.
    pub(super) fn passed(&self) -> usize {
        self.passed.len()
    }

    /// Whether nothing is to be kept an eye on.
    pub(super) fn is_idle(&self) -> bool {
        self.keys.is_empty() && self.passed.is_empty() && self.letters.is_empty()
    }

    /// Returns the last place that was read.
    pub(super) const fn read(&self) -> u64 {
        self.read
    }

    /// Notes up to where the records were read, and what is none.
    pub(super) fn looked_at(&mut self, through: u64) {
        self.read = self.read.max(through);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Park;

    fn record(act: Act, at: u64, (from, sequence): (u64, u64), by: &str) -> ParkRecord {
        let park = Park {
            child: "barn/farmer".into(),
            domain: "farm".into(),
            key: "k".into(),
            from,
            sequence,
            index: 0,
            kind: "farm.sown".into(),
            reason: String::new(),
            attempts: 1,
            since: 0,
            by: by.into(),
            note: None,
            amended: None,
        };
        let subject = "s.park.key.barn_farmer.farm.0.k".into();
        ParkRecord { act, park, sequence: at, subject }
    }

    fn register(records: &[ParkRecord]) -> Register {
        let mut register = Register::default();
        for record in records {
            register.apply(record, "me", Instant::now());
        }
        register
    }

    #[test]
    fn what_comes_behind_a_parked_event_waits_and_what_came_before_does_not() {
        let parked = register(&[record(Act::Parked, 1, (5, 5), "x")]);
        let standing = [4, 5, 9].map(|sequence| parked.standing("k", sequence));
        assert_eq!(standing, [Standing::Free, Standing::Waits, Standing::Waits]);
        assert_eq!(parked.standing("other", 9), Standing::Free);
        let asked = parked.asked(&HashSet::new());
        assert_eq!((asked, parked.letters.is_empty()), (None, true));
    }

    #[test]
    fn a_key_goes_on_where_it_was_claimed_only() {
        let parked = record(Act::Parked, 1, (5, 5), "x");
        let asked = record(Act::Retried, 2, (5, 5), "op");
        let mut register = register(&[parked, asked]);
        let next = |register: &Register| register.asked(&HashSet::new()).is_some();
        assert_eq!(register.standing("k", 6), Standing::Unclaimed);
        assert!(next(&register));
        assert_eq!(register.asked(&HashSet::from(["k".into()])), None);
        register.apply(
            &record(Act::Draining, 3, (5, 5), "other"),
            "me",
            Instant::now(),
        );
        assert!(!next(&register));
        register.inherit(Instant::now());
        assert!(!next(&register), "it may still be at work");
        assert_eq!(register.standing("k", 6), Standing::Elsewhere);
        register.inherit(Instant::now() + SILENT);
        assert!(next(&register));
        register.claimed(&"k".into(), 4, 5);
        assert_eq!(register.standing("k", 6), Standing::Waits);
        assert!(!next(&register));
        register.ending("k");
        let standing = register.standing("k", 6);
        assert_eq!(standing, Standing::Unclaimed, "it would be behind the end");
    }

    #[test]
    fn what_this_reader_wrote_without_a_drain_of_it_is_asked_for() {
        let register = register(&[record(Act::Draining, 1, (5, 5), "me")]);
        assert_eq!(register.asked(&HashSet::new()).as_deref(), Some("k"));
    }

    #[test]
    fn what_was_handled_meanwhile_is_passed_until_it_cannot_come_again() {
        let parked = record(Act::Parked, 1, (5, 5), "x");
        let released = record(Act::Released, 2, (5, 8), "x");
        let mut register = register(&[parked, released]);
        let standing = [4, 5, 8, 9].map(|sequence| register.standing("k", sequence));
        let (free, passed) = (Standing::Free, Standing::Passed);
        assert_eq!(standing, [free, passed, passed, free]);
        register.prune(7);
        assert_eq!(register.standing("k", 8), passed);
        register.prune(8);
        assert!(register.is_idle());
    }

    #[test]
    fn what_was_handled_is_passed_though_its_key_was_parked_again_since() {
        let of = |act, at, from, through| record(act, at, (from, through), "x");
        let mut register = register(&[
            of(Act::Parked, 1, 5, 5),
            of(Act::Released, 2, 5, 8),
            of(Act::Parked, 3, 11, 11),
            of(Act::Released, 4, 11, 12),
        ]);
        let standing = [4, 5, 8, 9, 11, 12].map(|sequence| register.standing("k", sequence));
        let (free, passed) = (Standing::Free, Standing::Passed);
        assert_eq!(standing, [free, passed, passed, free, passed, passed]);
        register.prune(8);
        assert_eq!(register.standing("k", 8), free);
        assert_eq!((register.standing("k", 12), register.passed()), (passed, 1));
        for at in (5..).step_by(2).take(RANGES) {
            register.apply(&of(Act::Parked, at, 20 * at, 20 * at), "me", Instant::now());
            let released = of(Act::Released, at + 1, 20 * at, 20 * at);
            register.apply(&released, "me", Instant::now());
        }
        assert_eq!(register.standing("k", 12), free, "it is bounded");
        assert_eq!(register.standing("k", 100), passed);
    }

    #[test]
    fn what_was_put_aside_after_the_end_of_anothers_work_is_asked_for() {
        let mut register = register(&[record(Act::Parked, 1, (5, 5), "x")]);
        register.seen("k", 9);
        register.apply(&record(Act::Released, 2, (5, 8), "x"), "me", Instant::now());
        assert_eq!(register.asked(&HashSet::new()).as_deref(), Some("k"));
    }
}
