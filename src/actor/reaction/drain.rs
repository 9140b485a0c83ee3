//! What waited is handled in order, once the operator said how to go on.

use super::{
    AGAIN, DRAINS, RENEW,
    held::{Held, Source},
    reading::Reading,
};
use crate::{
    bus::{ReadError, Reader, Stored, Stream},
    call::ParkingError,
    message::{Act, Park},
    telemetry::RELEASED_TOTAL,
};
use bytes::Bytes;
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// How often it is noted how far a key is that goes on.
const SAVE: Duration = Duration::from_secs(3);

/// A key whose events are read from the stream until none waits.
#[derive(Debug)]
pub(super) struct Drain {
    /// What its records say of it, with the place that was reached.
    park: Park,
    /// Its last record.
    record: u64,
    subject: String,
    reader: Option<Reader>,
    /// The next message to read.
    next: u64,
    /// The last message that was handed out.
    last: u64,
    saved: Instant,
    /// When it goes on, if it could not.
    due: Option<Instant>,
}

impl Drain {
    /// Notes that the message at hand was handled up to one of its events.
    pub(super) fn handled(&mut self, at: usize) {
        self.park.index = u32::try_from(at).unwrap_or(u32::MAX);
        self.park.amended = None;
    }

    /// Reads the next message, and where in it to begin.
    async fn take(
        &mut self,
        events: &Stream,
    ) -> Result<Option<(Stored, u32, Option<Bytes>)>, ReadError> {
        let reader = match &mut self.reader {
            Some(reader) => reader,
            none => none.insert(events.read(&self.subject, self.next).await?),
        };
        let Some(stored) = reader.next().await? else {
            self.reader = None;
            return Ok(None);
        };
        if stored.sequence != self.park.sequence {
            self.park.sequence = stored.sequence;
            self.park.index = 0;
            self.park.amended = None;
        }
        self.next = stored.sequence + 1;
        self.last = stored.sequence;
        Ok(Some((stored, self.park.index, self.park.amended.clone())))
    }
}

impl Reading<'_> {
    /// Lets keys go on that shall, and handles dead letters again, if this is
    /// the reader of the partition.
    pub(super) async fn begin(&mut self) {
        self.register.inherit(Instant::now());
        let keys = self.drains.len() < DRAINS && self.register.next().is_some();
        let letters = self.register.has_letter() && self.register.letters_out() < DRAINS;
        if !(keys || letters) || !self.is_ours().await {
            return;
        }
        while self.drains.len() < DRAINS {
            let Some(key) = self.register.next() else {
                break;
            };
            if !self.claim(&key).await {
                break;
            }
        }
        while self.register.letters_out() < DRAINS {
            let Some((number, letter)) = self.register.take_letter() else {
                break;
            };
            let subject = self.event_subject(&letter.key);
            let read = async {
                let mut read = self.events.read(&subject, letter.sequence).await?;
                read.next().await
            };
            match read.await {
                Ok(Some(stored)) if stored.sequence == letter.sequence => {
                    let held =
                        Held::new(Source::Letter(number, stored), 1).from(letter.index, None);
                    let next = self.enter(&letter.key, held);
                    self.advance(next).await;
                }
                Ok(_) => {
                    let note = "it is not in the stream".to_owned();
                    self.close_letter(number, Some(note)).await;
                }
                Err(error) => {
                    tracing::warn!(%error, "a dead letter cannot be read");
                    self.register.put_letter(number, false);
                    break;
                }
            }
        }
    }

    /// Takes it upon this reader to let a key go on; whether it did.
    pub(super) async fn claim(&mut self, key: &Arc<str>) -> bool {
        let Some(known) = self.last_record(key).await else {
            return false;
        };
        self.register.apply(&known, &self.me, Instant::now());
        let mut park = known.park;
        (park.sequence, park.index, park.amended) = match known.act {
            Act::Parked => return false,
            // Something was put aside after the end of another's work.
            Act::Released => (park.sequence + 1, 0, None),
            act => park.position(act),
        };
        park.by.clone_from(&self.me);
        let record = match self
            .record(Act::Draining, &park, Some(known.sequence))
            .await
        {
            Ok(record) => record,
            Err(error) => {
                tracing::warn!(child = &*self.reaction.path, key = &**key, %error, "a parked key cannot go on yet");
                return false;
            }
        };
        self.register.claimed(key, record, park.from);
        let drain = Drain {
            subject: self.event_subject(key),
            record,
            reader: None,
            next: park.sequence,
            last: 0,
            park,
            saved: Instant::now(),
            due: Some(Instant::now()),
        };
        self.drains.insert(Arc::clone(key), drain);
        // It begins with the next look around, not within another's turn.
        self.attend(Instant::now());
        true
    }

    /// Goes on with a key that waited; returns its next head.
    pub(super) async fn drain_on(&mut self, key: &Arc<str>) -> Option<usize> {
        let saved = self.drains.get(key)?.saved;
        if saved + 2 * RENEW <= Instant::now() {
            // Whoever saw no sign of it for so long may have taken over.
            self.save(key, self.me.clone()).await;
        }
        let drain = self.drains.get_mut(key)?;
        drain.due = None;
        match drain.take(&self.events).await {
            Ok(Some((stored, index, amended))) => {
                let held = Held::new(Source::Drained(stored), 1).from(index, amended);
                self.enter(key, held)
            }
            Ok(None) => {
                self.release(key).await;
                None
            }
            Err(error) => {
                tracing::warn!(child = &*self.reaction.path, key = &**key, %error, "a parked key cannot be read, trying again");
                drain.reader = None;
                self.drain_later(key);
                None
            }
        }
    }

    fn drain_later(&mut self, key: &Arc<str>) {
        let due = Instant::now() + AGAIN;
        if let Some(drain) = self.drains.get_mut(key) {
            drain.due = Some(due);
        }
        self.attend(due);
    }

    /// Lets a key flow again, if nothing was put aside meanwhile.
    async fn release(&mut self, key: &Arc<str>) {
        let Some(drain) = self.drains.get(key) else {
            return;
        };
        let seen = self.register.get(key).map_or(0, |entry| entry.seen);
        if seen > drain.last.max(drain.next.saturating_sub(1)) {
            return self.drain_later(key);
        }
        let mut park = drain.park.clone();
        park.sequence = drain.last.max(park.sequence);
        park.amended = None;
        match self.record(Act::Released, &park, Some(drain.record)).await {
            Ok(_) => {
                let child = &*self.reaction.path;
                tracing::info!(
                    child,
                    key = &**key,
                    through = park.sequence,
                    "a parked key goes on"
                );
                metrics::counter!(RELEASED_TOTAL, "child" => child.to_owned()).increment(1);
                self.drains.remove(key);
                self.register.released(key, park.from, park.sequence);
                self.look_later();
                self.attend(Instant::now());
            }
            Err(ParkingError::Conflict) => self.abandon(key).await,
            Err(error) => {
                tracing::warn!(%error, "a parked key cannot go on yet, trying again");
                self.drain_later(key);
            }
        }
    }

    /// Lets go of a key that another reader has taken over.
    pub(super) async fn abandon(&mut self, key: &Arc<str>) {
        tracing::warn!(
            child = &*self.reaction.path,
            key = &**key,
            "another reader lets this key go on"
        );
        self.drains.remove(key);
        self.look_up().await;
    }

    /// Goes on with what could not, and notes how far everything is.
    pub(super) async fn tend(&mut self, now: Instant) {
        let due: Vec<_> = self
            .drains
            .iter()
            .filter(|(_, drain)| drain.due.is_some_and(|due| due <= now))
            .map(|(key, _)| Arc::clone(key))
            .collect();
        for key in due {
            let next = self.drain_on(&key).await;
            self.advance(next).await;
        }
        let old: Vec<_> = self
            .drains
            .iter()
            .filter(|(_, drain)| drain.saved + SAVE <= now)
            .map(|(key, _)| Arc::clone(key))
            .collect();
        for key in old {
            self.save(&key, self.me.clone()).await;
        }
        let next = self.drains.values().map(|drain| {
            let saving = drain.saved + SAVE;
            drain.due.map_or(saving, |due| due.min(saving))
        });
        if let Some(next) = next.min() {
            self.attend(next);
        }
    }

    /// Notes how far a key is, and who goes on with it.
    pub(super) async fn save(&mut self, key: &Arc<str>, by: String) {
        let Some(drain) = self.drains.get_mut(key) else {
            return;
        };
        drain.saved = Instant::now();
        drain.park.by = by;
        let (park, record) = (drain.park.clone(), drain.record);
        match self.record(Act::Draining, &park, Some(record)).await {
            Ok(record) => {
                self.register.claimed(key, record, park.from);
                if let Some(drain) = self.drains.get_mut(key) {
                    drain.record = record;
                }
            }
            Err(ParkingError::Conflict) => self.abandon(key).await,
            Err(error) => tracing::warn!(%error, "how far a parked key is could not be noted"),
        }
    }

    /// Ends with a dead letter, and says if it cannot be handled still.
    pub(super) async fn leave_letter(
        &mut self,
        slot: usize,
        note: Option<String>,
    ) -> Option<usize> {
        let (held, next) = self.lanes.leave(slot)?;
        if let Source::Letter(number, _) = held.source {
            self.close_letter(number, note).await;
        }
        next
    }

    pub(super) async fn close_letter(&mut self, number: u64, note: Option<String>) {
        let Some(letter) = self.register.letter(number).cloned() else {
            return;
        };
        let reaction = self.reaction;
        let namespace = reaction.client.namespace();
        let (path, domain) = (&reaction.path, reaction.domain);
        let subject = namespace.redrive(path, domain, reaction.partition, number);
        if let Some(reason) = &note {
            tracing::error!(
                child = &**path,
                letter = number,
                reason,
                "a dead letter could not be handled again"
            );
        }
        let closed = match self.parks.last(&subject).await {
            Ok((Some(last), _)) if last.sequence == letter.record => {
                let park = Park { note, by: self.me.clone(), ..last.park };
                let place = (subject, last.sequence);
                self.parks
                    .append(Act::Released, &park, place)
                    .await
                    .map(drop)
            }
            Ok(_) => Ok(()),
            Err(error) => Err(ParkingError::Unknown(error.to_string())),
        };
        let done = matches!(closed, Ok(()) | Err(ParkingError::Conflict));
        if let Err(error) = closed {
            tracing::warn!(letter = number, %error, "that a dead letter was handled again could not be noted");
        }
        self.register.put_letter(number, done);
        self.look_later();
    }

    fn event_subject(&self, key: &str) -> String {
        let namespace = self.reaction.client.namespace();
        format!("{namespace}.evt.{}.{key}", self.reaction.domain)
    }
}
