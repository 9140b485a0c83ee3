use super::{
    commands::{Commands, Refusals},
    plan::Plan,
};
use crate::message::Gist;
use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::Duration,
};
use tokio::time::Instant;

/// How long storing snapshots rests after it failed: this, twice this and so on.
const FIRST_REST: Duration = Duration::from_secs(1);

/// How long storing snapshots of an entity rests at most.
const LONGEST_REST: Duration = Duration::from_mins(5);

/// From which size on the state of an entity is large, in bytes.
const LARGE: usize = 64 * 1024;

/// One entity in memory: its state, and how far in the log that is.
#[derive(Debug)]
pub(super) struct Life<S> {
    pub(super) state: S,
    /// Its last message in the stream.
    pub(super) last: Place,
    /// How many events it has.
    pub(super) events: u64,
    pub(super) commands: Commands,
    pub(super) refusals: Refusals,
    pub(super) snapshots: Rc<Progress>,
    /// Which connection of the bus it was compared over with the log.
    pub(super) connection: u64,
    /// Messages that it was built without, in order.
    pub(super) skipped: Vec<u64>,
}

/// One message: its sequence, 0 for none, and what tells it from another that
/// has the same sequence, where a log lost its tail.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) sequence: u64,
    pub(super) mark: u128,
}

/// One stored message as an entity notes it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Noted {
    pub(super) place: Place,
    /// When it was stored, in seconds since 1970.
    pub(super) at: u32,
}

impl<S: 'static> Life<S> {
    pub(super) fn new(state: S) -> Self {
        Self {
            state,
            last: Place::default(),
            events: 0,
            commands: Commands::default(),
            refusals: Refusals::default(),
            snapshots: Rc::default(),
            connection: 0,
            skipped: Vec::new(),
        }
    }

    /// Goes on by a commit of its own.
    pub(super) fn advance(&mut self, events: u64, noted: Noted, command: u128) {
        self.events += events;
        self.last = noted.place;
        self.commands.note(command, noted.place.sequence, noted.at);
    }

    /// Returns how many events a load would have to go through.
    pub(super) fn tail(&self) -> u64 {
        self.events - self.snapshots.stored.get()
    }

    /// Returns how many ids it remembers.
    pub(super) fn remembered(&self) -> usize {
        self.commands.len() + self.refusals.len()
    }

    /// Goes through the events of one stored message.
    pub(super) fn relive<'a>(
        &mut self,
        plan: &Plan<S>,
        events: impl IntoIterator<Item = Gist<'a>>,
        noted: Noted,
    ) -> Result<(), String> {
        let sequence = noted.place.sequence;
        for event in events {
            plan.apply(&mut self.state, &event)
                .map_err(|reason| format!("#{sequence} {reason}"))?;
            self.events += 1;
            if let Some(command) = event.causation {
                self.commands.note(command.mark(), sequence, noted.at);
            }
        }
        self.last = noted.place;
        Ok(())
    }

    /// Passes over a message that is no part of it.
    pub(super) fn pass_over(&mut self, place: Place) {
        self.skipped.push(place.sequence);
        self.last = place;
    }
}

/// How far the snapshots of one entity are; shared with what stores them.
#[derive(Debug)]
pub(super) struct Progress {
    /// How many of its events the last snapshot holds.
    pub(super) stored: Cell<u64>,
    /// Which of two places the parts of the last large snapshot are at.
    pub(super) slot: Cell<u32>,
    is_storing: Cell<bool>,
    failures: Cell<u32>,
    rests_until: RefCell<Option<Instant>>,
    /// The size that is told of next.
    told_from: Cell<usize>,
}

impl Default for Progress {
    fn default() -> Self {
        Self {
            stored: Cell::default(),
            slot: Cell::default(),
            is_storing: Cell::default(),
            failures: Cell::default(),
            rests_until: RefCell::default(),
            told_from: Cell::new(LARGE),
        }
    }
}

impl Progress {
    /// Whether another may be stored now: one at a time, and after a failure later.
    pub(super) fn may_begin(&self) -> bool {
        if self.is_storing.get() {
            return false;
        }
        let until = *self.rests_until.borrow();
        until.is_none_or(|until| until <= Instant::now())
    }

    pub(super) fn begin(&self) {
        self.is_storing.set(true);
    }

    /// Notes that a snapshot of so many events is stored.
    pub(super) fn done(&self, events: u64) {
        self.is_storing.set(false);
        self.failures.set(0);
        *self.rests_until.borrow_mut() = None;
        self.stored.set(events.max(self.stored.get()));
    }

    /// Notes that none was stored; returns how long the next one waits.
    pub(super) fn fail(&self) -> Duration {
        self.is_storing.set(false);
        let failures = self.failures.get();
        self.failures.set(failures.saturating_add(1));
        let rest = FIRST_REST
            .saturating_mul(1 << failures.min(16))
            .min(LONGEST_REST);
        *self.rests_until.borrow_mut() = Some(Instant::now() + rest);
        rest
    }

    /// Returns whether a size is to be told of: once for each doubling.
    pub(super) fn grows_to(&self, bytes: usize) -> bool {
        let tells = bytes >= self.told_from.get();
        while self.told_from.get() <= bytes {
            self.told_from.set(self.told_from.get() * 2);
        }
        tells
    }
}
