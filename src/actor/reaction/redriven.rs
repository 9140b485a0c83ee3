use super::register::SILENT;
use crate::{
    call::ParkRecord,
    message::{Act, Park},
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::time::Instant;

/// The dead letters of one partition that shall be handled again, by their sequence.
#[derive(Debug, Default)]
pub(super) struct Redriven(BTreeMap<u64, Entry>);

/// A dead letter that shall be handled again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Letter {
    pub(super) record: u64,
    pub(super) key: Arc<str>,
    pub(super) sequence: u64,
    pub(super) index: u32,
}

#[derive(Debug)]
struct Entry {
    letter: Letter,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    /// Nobody has it.
    Asked,
    /// Another reader has it, and said so at this time.
    Elsewhere(Instant),
    /// This reader is about to take it.
    Claiming,
    /// This reader has it.
    Here(Box<Here>),
}

#[derive(Debug)]
struct Here {
    park: Park,
    /// When this reader said last that it has it.
    kept: Instant,
    /// Whether a record is being written.
    writing: bool,
    /// Whether it ended; then that is to be noted, and nothing else is done.
    ended: bool,
    /// When what could not be noted is tried again.
    due: Option<Instant>,
}

impl Redriven {
    /// Takes a record in. `me` is how this reader signs.
    pub(super) fn apply(&mut self, record: &ParkRecord, me: &str, now: Instant) {
        let number = record.subject.rsplit('.').next();
        let Some(number) = number.and_then(|number| number.parse().ok()) else {
            return;
        };
        let known = self.0.get(&number);
        if known.is_some_and(|known| known.letter.record >= record.sequence) {
            return;
        }
        let park = &record.park;
        let is_here = known.is_some_and(|known| matches!(known.phase, Phase::Here(_)));
        let phase = match record.act {
            // What this reader wrote it learns when that is confirmed.
            Act::Draining if park.by == me && is_here => return,
            Act::Redriven => Phase::Asked,
            Act::Draining if park.by.is_empty() || park.by == me => Phase::Asked,
            Act::Draining => Phase::Elsewhere(now),
            _ => return self.forget(number),
        };
        let letter = Letter {
            record: record.sequence,
            key: park.key.as_str().into(),
            sequence: park.sequence,
            index: park.index,
        };
        self.0.insert(number, Entry { letter, phase });
    }

    /// Takes over what readers elsewhere have and say nothing of any more.
    pub(super) fn inherit(&mut self, now: Instant) {
        for entry in self.0.values_mut() {
            if let Phase::Elsewhere(since) = entry.phase
                && now.duration_since(since) >= SILENT
            {
                entry.phase = Phase::Asked;
            }
        }
    }

    /// Returns a dead letter that nobody has, and notes that it is about to be taken.
    pub(super) fn take(&mut self) -> Option<(u64, Letter)> {
        let mut all = self.0.iter_mut();
        let (number, entry) = all.find(|(_, entry)| matches!(entry.phase, Phase::Asked))?;
        entry.phase = Phase::Claiming;
        Some((*number, entry.letter.clone()))
    }

    /// Notes that a dead letter is this reader's.
    pub(super) fn taken(&mut self, number: u64, record: u64, park: Park, now: Instant) {
        if let Some(entry) = self.0.get_mut(&number) {
            entry.letter.record = record;
            let here = Here { park, kept: now, writing: false, ended: false, due: None };
            entry.phase = Phase::Here(Box::new(here));
        }
    }

    /// Lets a dead letter be taken again.
    pub(super) fn put_back(&mut self, number: u64) {
        if let Some(entry) = self.0.get_mut(&number) {
            entry.phase = Phase::Asked;
        }
    }

    pub(super) fn forget(&mut self, number: u64) {
        self.0.remove(&number);
    }

    /// Notes how a dead letter ended.
    pub(super) fn ends(&mut self, number: u64, note: Option<String>) {
        if let Some(here) = self.here(number) {
            here.park.note = note;
            here.ended = true;
        }
    }

    /// Returns what is to be written of a dead letter: behind which record, and
    /// whether it is its end. There is nothing while something is being written.
    pub(super) fn writes(&mut self, number: u64, now: Instant) -> Option<(u64, Park, bool)> {
        let record = self.0.get(&number)?.letter.record;
        let here = self.here(number)?;
        if std::mem::replace(&mut here.writing, true) {
            return None;
        }
        here.due = None;
        here.kept = here.kept.max(now);
        Some((record, here.park.clone(), here.ended))
    }

    /// Notes what became of the word that a letter is still at hand; whether it
    /// ended meanwhile.
    pub(super) fn kept(&mut self, number: u64, at: Instant, record: Option<&u64>) -> bool {
        let Some(entry) = self.0.get_mut(&number) else {
            return false;
        };
        if let Some(record) = record {
            entry.letter.record = *record;
        }
        let Phase::Here(here) = &mut entry.phase else {
            return false;
        };
        (here.writing, here.kept) = (false, at);
        here.ended
    }

    /// Lets the end of a letter be noted at a later time, and returns that.
    pub(super) fn again(&mut self, number: u64, at: Instant) -> Instant {
        if let Some(here) = self.here(number) {
            (here.writing, here.due) = (false, Some(at));
        }
        at
    }

    /// Returns the letters of which something is to be said.
    pub(super) fn old(&self, now: Instant, age: Duration) -> Vec<u64> {
        let old = |here: &Here| here.look(age) <= now && !here.writing;
        let all = self.0.iter();
        all.filter(|(_, entry)| matches!(&entry.phase, Phase::Here(here) if old(here)))
            .map(|(number, _)| *number)
            .collect()
    }

    /// Returns when something is to be said of a letter.
    pub(super) fn next_look(&self, age: Duration) -> Option<Instant> {
        let looks = self.0.values().filter_map(|entry| match &entry.phase {
            Phase::Here(here) if !here.writing => Some(here.look(age)),
            _ => None,
        });
        looks.min()
    }

    /// Takes out the letters that are this reader's and did not end.
    pub(super) fn at_hand(&mut self) -> Vec<(u64, u64, Park)> {
        let mut all = Vec::new();
        for (number, entry) in &self.0 {
            if let Phase::Here(here) = &entry.phase
                && !here.ended
            {
                all.push((*number, entry.letter.record, here.park.clone()));
            }
        }
        all
    }

    /// Returns how many letters are this reader's, or about to be.
    pub(super) fn out(&self) -> usize {
        let out = |entry: &&Entry| matches!(entry.phase, Phase::Claiming | Phase::Here(_));
        self.0.values().filter(out).count()
    }

    /// Whether nobody has one of them.
    pub(super) fn has_asked(&self) -> bool {
        let asked = |entry: &Entry| matches!(entry.phase, Phase::Asked);
        self.0.values().any(asked)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn here(&mut self, number: u64) -> Option<&mut Here> {
        match &mut self.0.get_mut(&number)?.phase {
            Phase::Here(here) => Some(here),
            _ => None,
        }
    }
}

impl Here {
    fn look(&self, age: Duration) -> Instant {
        self.due.unwrap_or(self.kept + age)
    }
}
