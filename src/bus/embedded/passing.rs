//! How a stream passes on what is due.
//!
//! Nobody waits for it alone: whoever looks at the stream first passes on what
//! is due, and a handle that waits for a message wakes for the next time. So
//! what fell due while nobody looked, or no process ran, is passed on at once.

use super::{
    kept::{Kept, State},
    lock,
    log::Outcome,
    record::Record,
    shelf,
    store::{Broken, Disk},
    ticket::Room,
    timers::{Mark, cancelled, fired},
};
use crate::bus::Expect;
use std::{io, time::Duration};
use tokio::time::Instant;

/// How many messages may be passed on that are not durable yet.
const AHEAD: u64 = 1_024;
/// How long to wait for those.
const BEHIND: Duration = Duration::from_millis(5);
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
        if !self.config().schedules || self.disk().and_then(Disk::failure).is_some() {
            return None;
        }
        let clock = self.clock.now();
        while let Some(sequence) = state.timers.due(clock) {
            if state.log.last() - state.shelf.last() > AHEAD {
                return Some(now + BEHIND);
            }
            let Some(item) = state.shelf.get(sequence, &state.log) else {
                return Some(now + BEHIND);
            };
            let record = shelf::all(vec![item], self.disk())
                .and_then(|mut read| read.pop_front().ok_or(io::ErrorKind::NotFound.into()));
            match record {
                Ok(record) => self.fire_one(state, &record, now),
                Err(error) => {
                    let stream = &*self.config().name;
                    tracing::error!(stream, sequence, %error, "what is due could not be read");
                    state.timers.put_off(AGAIN);
                }
            }
        }
        let next = state.timers.next()?;
        let left = next.duration_since(clock).unwrap_or_default();
        Some(now + left.min(LONGEST))
    }

    fn fire_one(&self, state: &mut State, record: &Record, now: Instant) {
        let message = fired(&record.subject, &record.headers, record.payload.clone());
        // Nobody waits for its confirmation: until it is stored, it is due.
        let (outcome, _) = self.file(state, message, Expect::Any, (now, Room(0)));
        if !matches!(outcome, Outcome::Stored { .. }) {
            state.timers.put_off(AGAIN);
        }
    }

    /// Notes what a message that was filed means for the timers.
    pub(super) fn arm(&self, state: &mut State, record: &Record) {
        if !self.config().schedules {
            return;
        }
        let Some(mark) = Mark::of(|name| record.headers.get(name)) else {
            return;
        };
        if state.timers.note(&record.subject, record.sequence, &mark) {
            for durable in &mut state.durables {
                durable.rouse();
            }
        }
    }

    /// Takes back what is scheduled on a subject; returns whether there was something.
    pub(super) async fn cancel(&self, subject: &str) -> Result<bool, Broken> {
        let message = cancelled(subject);
        let room = self.room(&message).await;
        let now = Instant::now();
        let ticket = {
            let mut guard = lock(&self.state);
            self.fire(&mut guard, now);
            if guard.timers.has(subject) {
                Some(self.file(&mut guard, message, Expect::Any, (now, room)).1)
            } else {
                self.give_back(room);
                None
            }
        };
        match ticket {
            None => Ok(false),
            Some(ticket) => ticket.holds().await.map(|()| true),
        }
    }
}

impl State {
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
