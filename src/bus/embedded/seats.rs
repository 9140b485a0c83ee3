//! The consumers of a stream.

use super::{
    cursor::{Move, Turn},
    declared,
    durable::{Durable, Look},
    interest::Part,
    kept::{Home, Kept, State},
    lock,
    shelf::{Item, Shelf},
    store::Place,
};
use crate::bus::{ConsumerConfig, ConsumerError, Presence, Progress, Start};
use std::{collections::VecDeque, io, sync::Arc};
use tokio::{sync::Notify, time::Instant};

/// Which consumer of a stream, and which handle to it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seat {
    pub(super) durable: usize,
    pub(super) handle: u64,
}

/// What a handle finds when it looks for a message.
pub(super) enum Found {
    Message(Item, Turn),
    Nothing {
        until: Option<Instant>,
    },
    /// What comes next could not be read.
    Unread(io::Error),
}

/// How many messages are looked at in one go for a consumer that is behind.
const LOOK: usize = 4_096;

impl Kept {
    /// Makes a consumer or takes up the one of that name, and gives it a handle.
    pub(super) fn seat(&self, config: &ConsumerConfig) -> Result<Seat, ConsumerError> {
        let part = declared::part(config, self.config())?;
        let mut state = lock(&self.state);
        let known = state.names.get(&config.name).copied();
        let durable = match known {
            Some(durable) => self.take_up(&mut state, durable, config)?,
            None => self.make(&mut state, config, part)?,
        };
        state.handles += 1;
        Ok(Seat { durable, handle: state.handles })
    }

    /// Compares a consumer's declaration with the one of that name.
    pub(super) fn compare(&self, config: &ConsumerConfig) -> Presence {
        let state = lock(&self.state);
        let known = state.names.get(&config.name);
        let difference = known.map(|durable| state.durables[*durable].differs(config));
        drop(state);
        difference.map_or(Presence::Missing, Presence::of)
    }

    /// Takes up a consumer where the store saw it last.
    pub(super) fn resume(&self, state: &mut State, place: Place) -> Result<(), ConsumerError> {
        let Place { config, next, out } = place;
        let part = declared::part(&config, self.config())?;
        let mut durable = Durable::new(&config, part.clone(), VecDeque::new());
        durable
            .cursor
            .resume(next, out, (state.shelf.last(), Instant::now()));
        state.add(durable, config.name, part);
        Ok(())
    }

    /// Takes a message for a handle, or lets the handle wait for one.
    pub(super) fn look(&self, seat: Seat, wake: &Arc<Notify>) -> Found {
        let now = Instant::now();
        let mut state = lock(&self.state);
        let due = self.fire(&mut state, now);
        if let Err(error) = self.refill(&mut state, seat.durable) {
            return Found::Unread(error);
        }
        let look = state.durables[seat.durable].look(seat.handle, wake, now);
        self.tell(&mut state, seat.durable);
        let (item, turn) = match look {
            Look::Wait { until } => {
                let until = until.into_iter().chain(due).min();
                return Found::Nothing { until };
            }
            Look::Taken(turn) => (state.shelf.get(turn.sequence), turn),
        };
        drop(state);
        // One that was deleted is nowhere, and is settled like one that is gone from a store.
        Found::Message(item.unwrap_or(Item::There(turn.sequence)), turn)
    }

    /// Returns how far a consumer is, as one of its handles sees it.
    pub(super) fn progress(&self, seat: Seat) -> Progress {
        lock(&self.state).durables[seat.durable].progress(seat.handle)
    }

    /// Returns how far a consumer is, by its name; nothing if there is none.
    pub(super) fn progress_of(&self, name: &str) -> Option<Progress> {
        let state = lock(&self.state);
        let durable = *state.names.get(name)?;
        Some(state.durables[durable].progress(0))
    }

    /// Changes a consumer and wakes who can go on then.
    pub(super) fn change(&self, durable: usize, change: impl FnOnce(&mut Durable, Instant)) {
        let now = Instant::now();
        let mut guard = lock(&self.state);
        let state = &mut *guard;
        let changed = &mut state.durables[durable];
        change(changed, now);
        changed.nudge(now);
        self.tell(state, durable);
        drop(guard);
    }

    /// Returns what changed for the consumers, each by its number in the store.
    pub(super) fn steps(&self) -> Vec<((u32, u32), Move)> {
        let Some(home) = &self.home else {
            return Vec::new();
        };
        let mut guard = lock(&self.state);
        let state = &mut *guard;
        state.told = false;
        let steps = (0..)
            .zip(&mut state.durables)
            .filter_map(|(number, durable)| Some(((home.number, number), durable.cursor.step()?)))
            .collect();
        drop(guard);
        steps
    }

    /// Returns how many messages its consumers have not settled.
    #[cfg(feature = "test-util")]
    pub(super) fn unsettled(&self) -> usize {
        let now = Instant::now();
        lock(&self.state)
            .durables
            .iter_mut()
            .map(|durable| durable.cursor.unsettled(now))
            .sum()
    }

    fn take_up(
        &self,
        state: &mut State,
        durable: usize,
        config: &ConsumerConfig,
    ) -> Result<usize, ConsumerError> {
        let known = &mut state.durables[durable];
        if let Some(difference) = known.differs(config) {
            let name = config.name.clone();
            return Err(ConsumerError::Differs { name, difference });
        }
        if known.redeclare(config, Instant::now()) {
            self.declare(durable, config, None)?;
        }
        Ok(durable)
    }

    fn make(
        &self,
        state: &mut State,
        config: &ConsumerConfig,
        part: Part,
    ) -> Result<usize, ConsumerError> {
        let end = state.shelf.last() + 1;
        let first = match config.start {
            Start::First => 1,
            Start::Sequence(sequence) => sequence.clamp(1, end),
            Start::New => end,
        };
        let next = first - 1;
        self.declare(state.durables.len(), config, Some(next))?;
        let backlog = self.backlog(state, first, &part);
        let mut durable = Durable::new(config, part.clone(), backlog);
        if self.home.is_some() {
            let at = (state.shelf.last(), Instant::now());
            durable.cursor.resume(next, [], at);
        }
        Ok(state.add(durable, config.name.clone(), part))
    }

    /// Writes a consumer's declaration to the store, if there is one.
    fn declare(
        &self,
        durable: usize,
        config: &ConsumerConfig,
        next: Option<u64>,
    ) -> Result<(), ConsumerError> {
        let Some(Home { disk, number, .. }) = &self.home else {
            return Ok(());
        };
        let at = u32::try_from(durable).expect("consumers fit into memory");
        let declared = disk.declare_consumer((*number, at), config, next);
        declared.map_err(|broken| {
            let name = config.name.clone();
            ConsumerError::Unavailable { name, reason: broken.0.as_ref().into() }
        })
    }

    /// Returns what a consumer of a stream in memory has before it.
    fn backlog(&self, state: &State, first: u64, part: &Part) -> VecDeque<u64> {
        let Shelf::Memory(memory) = &state.shelf else {
            return VecDeque::new();
        };
        let wanted = |subject: &str| part.has(subject, self.partition(subject));
        let matching = memory.log.matching(first, memory.log.last(), wanted);
        matching.filter(|at| !memory.timers.hides(*at)).collect()
    }

    /// Finds what a consumer of a stored stream has before it, as far as it has
    /// room for that.
    fn refill(&self, state: &mut State, durable: usize) -> io::Result<()> {
        let Some(Home { disk, number, .. }) = &self.home else {
            return Ok(());
        };
        let last = state.shelf.last();
        let durable = &mut state.durables[durable];
        let Some(from) = durable.cursor.wants() else {
            return Ok(());
        };
        let part = durable.part().clone();
        let wanted = |subject: &str| part.has(subject, self.partition(subject));
        let (found, looked) = disk.sequences(*number, (from, last), LOOK, wanted)?;
        durable.cursor.refill(found, (looked, last));
        Ok(())
    }

    /// Tells the store that a consumer moved, if it did and the store does not know.
    fn tell(&self, state: &mut State, durable: usize) {
        let Some(home) = self.home.as_ref().filter(|_| !state.told) else {
            return;
        };
        if state.durables[durable].cursor.has_moved()
            && let Some(kept) = home.me.upgrade()
        {
            state.told = true;
            home.disk.moved(kept);
        }
    }
}

impl State {
    fn add(&mut self, durable: Durable, name: String, part: Part) -> usize {
        let number = self.durables.len();
        self.durables.push(durable);
        self.names.insert(name, number);
        self.interest.add(part, number);
        number
    }
}
