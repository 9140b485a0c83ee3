//! How a stream in memory passes on what is due; a stored one is looked after by
//! the thread that writes the store.
//!
//! Nobody waits for it alone: whoever looks at the stream first passes on what
//! is due, and a handle that waits for a message wakes for the next time.

use super::{
    kept::{Kept, State},
    lock,
    log::Outcome,
    record::Record,
    shelf::{InMemory, Shelf},
    store::Broken,
    ticket::told,
    timers::{Mark, cancelled, fired},
};
use crate::bus::Expect;
use std::{io, sync::Arc, time::Duration};
use tokio::time::Instant;

/// How long to wait before something that must succeed is tried again.
const AGAIN: Duration = Duration::from_secs(1);
/// How long a handle sleeps at most before it looks at the time of day, which
/// may be set, or pass while the machine sleeps.
const LONGEST: Duration = Duration::from_mins(1);

impl Kept {
    /// Passes on what is due.
    pub(super) fn pass_on(&self) {
        if self.config().schedules {
            self.fire(&mut lock(&self.state), Instant::now());
        }
    }

    /// Passes on what is due; returns when to look again.
    pub(super) fn fire(&self, state: &mut State, now: Instant) -> Option<Instant> {
        if !self.config().schedules {
            return None;
        }
        let clock = self.clock.now();
        loop {
            let Shelf::Memory(memory) = &mut state.shelf else {
                return None;
            };
            let Some(sequence) = memory.timers.due(clock) else {
                break;
            };
            let Some(record) = memory.get(sequence) else {
                memory.timers.put_off(clock + AGAIN);
                continue;
            };
            let message = fired(&record.subject, &record.headers, record.payload.clone());
            let outcome = self.file(state, message, Expect::Any, now);
            if !matches!(outcome, Outcome::Stored { .. })
                && let Shelf::Memory(memory) = &mut state.shelf
            {
                memory.timers.put_off(clock + AGAIN);
            }
        }
        let Shelf::Memory(memory) = &state.shelf else {
            return None;
        };
        let next = memory.timers.next()?;
        let left = next.duration_since(clock).unwrap_or_default();
        Some(now + left.min(LONGEST))
    }

    /// Notes what a message that was filed means for the timers.
    pub(super) fn arm(&self, state: &mut State, record: &Record) {
        if !self.config().schedules {
            return;
        }
        let Shelf::Memory(memory) = &mut state.shelf else {
            return;
        };
        let Some(mark) = Mark::of(|name| record.headers.get(name)) else {
            return;
        };
        if memory.timers.note(&record.subject, record.sequence, &mark) {
            for durable in &mut state.durables {
                durable.rouse();
            }
        }
    }

    /// Takes back what is scheduled on a subject; returns whether there was something.
    pub(super) async fn cancel(&self, subject: &str) -> Result<bool, Broken> {
        if let Some(home) = &self.home {
            if let Some(broken) = home.disk.failure() {
                return Err(broken);
            }
            let kept = home.me.upgrade().expect("it is being used");
            return told(home.disk.cancel((kept, home.number), subject)).await;
        }
        let now = Instant::now();
        let mut guard = lock(&self.state);
        let state = &mut *guard;
        self.fire(state, now);
        let there = matches!(&state.shelf, Shelf::Memory(memory) if memory.timers.has(subject));
        if there {
            self.file(state, cancelled(subject), Expect::Any, now);
        }
        drop(guard);
        Ok(there)
    }
}

impl Kept {
    /// Returns one message.
    pub(super) fn one(&self, sequence: u64) -> io::Result<Option<Arc<Record>>> {
        self.pass_on();
        if let Some(home) = &self.home {
            return home.disk.one(home.number, sequence);
        }
        Ok(self.with_memory(|memory, _| memory.seen([sequence]).next()))
    }

    /// Deletes one message; returns whether it was there.
    pub(super) async fn delete(&self, sequence: u64) -> Result<bool, Broken> {
        if let Some(home) = &self.home {
            if let Some(broken) = home.disk.failure() {
                return Err(broken);
            }
            let kept = home.me.upgrade().expect("it is being used");
            return told(home.disk.delete((kept, home.number), sequence)).await;
        }
        let mut guard = lock(&self.state);
        let state = &mut *guard;
        self.fire(state, Instant::now());
        let there = match &mut state.shelf {
            Shelf::Memory(memory) => memory.delete(sequence),
            Shelf::Stored(_) => false,
        };
        drop(guard);
        Ok(there)
    }
}

impl InMemory {
    /// Deletes a message that is seen; returns whether it was there.
    fn delete(&mut self, sequence: u64) -> bool {
        let Some(record) = self.seen([sequence]).next() else {
            return false;
        };
        self.log.delete(sequence);
        self.timers.disarm(&record.subject, sequence);
        self.drop_record(sequence);
        true
    }

    /// Returns what an expectation means for the log, which does not know that
    /// the last message of a subject is seen no more.
    pub(super) fn expectation(&self, subject: &str, expect: Expect) -> Expect {
        let Expect::Last(wanted) = expect else {
            return expect;
        };
        if self.timers.hidden() == 0 {
            return expect;
        }
        match self.log.back(subject, u64::MAX).next() {
            Some(head) if self.timers.hides(head) && wanted == 0 => Expect::Last(head),
            Some(head) if self.timers.hides(head) => Expect::Last(u64::MAX),
            _ => expect,
        }
    }
}
