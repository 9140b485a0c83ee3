//! A key that cannot go on waits in the stream, and says so in the records.

use super::{
    AGAIN, LOOK_UP, PARK_AGAIN, PARKED,
    beside::{Signed, Told},
    drain::{Drain, SHORTLY},
    held::{End, Source, acknowledge, key_of},
    reading::Reading,
    register::Standing,
};
use crate::{
    bus::{Delivery, ReadError},
    call::{Batch, ParkRecord, ParkingError, Parks},
    message::{Act, Park, one_line},
    telemetry::{PARK_FULL_TOTAL, PARKED_TOTAL},
};
use std::{collections::HashMap, mem, sync::Arc, time::Duration};
use tokio::time::Instant;

/// From how many held events on a key that fails is looked at.
pub(super) const CROWDED: usize = 64;

/// How many events of a key that fails are held while others have little room.
const SHARE: usize = 32;

/// When the records are read.
#[derive(Debug)]
pub(super) struct LookUp {
    pub(super) next: Instant,
    /// Whether they are being read.
    running: bool,
    /// Whether they are to be read once more after that.
    again: bool,
    failures: u32,
}

impl LookUp {
    pub(super) const fn new(next: Instant) -> Self {
        Self { next, running: false, again: false, failures: 0 }
    }
}

impl Reading<'_> {
    /// Reads all that the records say, before anything is held.
    pub(super) async fn refresh(&mut self) -> Result<(), String> {
        let (filter, mut reader) = (self.records(), None);
        let progress = self.consumer.progress().await;
        let floor = progress.map_or(0, |progress| progress.floor);
        loop {
            let read = self.parks.latest(&filter, reader).await;
            let mut batch = read.map_err(|error| error.to_string())?;
            let past = self.past(&batch, floor).await;
            let mut records = past.map_err(|error| error.to_string())?;
            records.append(&mut batch.records);
            batch.records = records;
            reader = self.take_in(batch);
            if reader.is_none() {
                return Ok(());
            }
            if self.register.passed() > PARKED {
                let progress = self.consumer.progress().await;
                self.register
                    .prune(progress.map_or(0, |progress| progress.floor));
            }
        }
    }

    /// Reads what was said of parked keys before, where an event that was handled while its
    /// key was parked an earlier time may come again.
    async fn past(&self, batch: &Batch, floor: u64) -> Result<Vec<ParkRecord>, ReadError> {
        let mut past = Vec::new();
        for record in &batch.records {
            let is_key = record.subject.split('.').nth(2) == Some("key");
            let may_come = record.park.from > floor.saturating_add(1);
            if is_key && may_come && record.act != Act::Released {
                past.extend(self.parks.history(&record.subject).await?);
            }
        }
        Ok(past)
    }

    pub(super) fn records(&self) -> String {
        let reaction = self.reaction;
        let namespace = reaction.client.namespace();
        namespace.parks(&reaction.path, reaction.domain, reaction.partition)
    }

    /// Takes records in; returns what reads on.
    pub(super) fn take_in(&mut self, batch: Batch) -> Option<crate::bus::Reader> {
        let now = Instant::now();
        for record in batch.records {
            // Two paths may look alike in a subject.
            if *record.park.child == *self.reaction.path {
                self.register.apply(&record, &self.me, now);
            }
        }
        self.register.looked_at(batch.through);
        batch.more
    }

    /// Reads what the records say that is not known here yet.
    pub(super) fn look_up(&mut self) {
        self.look_up.again = mem::replace(&mut self.look_up.running, true);
        if !self.look_up.again {
            self.look_up.next = Instant::now() + LOOK_UP;
            self.read_records(None);
        }
    }

    fn read_records(&mut self, reader: Option<crate::bus::Reader>) {
        let (parks, filter) = (self.parks.clone(), self.records());
        let since = self.register.read() + 1;
        self.beside(async move {
            let read = parks.some(&filter, since, reader).await;
            Told::Records(read.map_err(|error| error.to_string()))
        });
    }

    pub(super) fn refreshed(&mut self, read: Result<Batch, String>) {
        let now = Instant::now();
        match read {
            Ok(batch) => {
                self.look_up.failures = 0;
                if let Some(reader) = self.take_in(batch) {
                    return self.read_records(Some(reader));
                }
                self.look_up.next = now + LOOK_UP;
            }
            Err(error) => {
                let wait = AGAIN * 2_u32.saturating_pow(self.look_up.failures.min(5));
                self.look_up.failures += 1;
                self.look_up.next = now + wait.min(LOOK_UP);
                tracing::warn!(
                    child = &*self.reaction.path,
                    error,
                    again_in = ?wait.min(LOOK_UP),
                    "the records of parked keys cannot be read"
                );
            }
        }
        self.look_up.running = false;
        if mem::take(&mut self.look_up.again) && self.look_up.failures == 0 {
            self.look_up();
        }
        self.attend(self.look_up.next);
        self.begin();
    }

    /// Says what becomes of an event that comes now; its key is claimed for that.
    pub(super) fn standing(&mut self, key: &Arc<str>, sequence: u64) -> Standing {
        let standing = self.register.standing(key, sequence);
        match standing {
            Standing::Unclaimed if self.register.is_asked(key) => self.claim(key),
            Standing::Waits => self.register.seen(key, sequence),
            _ => {}
        }
        standing
    }

    /// Whether an event that just came is none to handle; then it is let go.
    pub(super) async fn put_aside(&mut self, delivery: Delivery) -> Option<Delivery> {
        if self.register.is_idle() {
            return Some(delivery);
        }
        let key: Arc<str> = key_of(&delivery.message).into();
        match self.standing(&key, delivery.message.sequence) {
            Standing::Free | Standing::Unclaimed | Standing::Elsewhere => Some(delivery),
            Standing::Passed | Standing::Waits => {
                acknowledge(delivery).await;
                None
            }
        }
    }

    /// Parks a key, then lets go of the event; until that is written down, the
    /// event is kept.
    pub(super) fn park(&mut self, slot: usize, reason: String) {
        let Some(held) = self.lanes.get_mut(slot) else {
            return;
        };
        let drained = held.drain();
        let key: Arc<str> = held.key().into();
        let is_new = self.register.get(&key).is_none();
        if is_new && self.register.len() + self.parking >= PARKED {
            return self.has_no_room(slot, &key, &reason);
        }
        let subject = self.park_subject(&key);
        let mut after = None;
        if let Some(number) = drained
            && let Some(drain) = self.drain_of(&key, number)
        {
            if mem::replace(&mut drain.writing, true) {
                return self.end_later(slot, End::Parked { reason }, SHORTLY);
            }
            after = Some(drain.record);
        }
        let Some(park) = self.parting(slot, &reason) else {
            return;
        };
        self.parking += usize::from(is_new);
        let (parks, me) = (self.parks.clone(), self.me.clone());
        self.beside(async move {
            let signed = sign(&parks, Act::Parked, &park, (subject, after), &me).await;
            Told::Parked { slot, park, is_new, signed }
        });
    }

    fn has_no_room(&mut self, slot: usize, key: &str, reason: &str) {
        let child = &*self.reaction.path;
        tracing::error!(
            child,
            key,
            reason,
            "too many keys are parked, this one waits"
        );
        metrics::counter!(PARK_FULL_TOTAL, "child" => child.to_owned()).increment(1);
        self.put_off(slot, PARK_AGAIN);
    }

    pub(super) async fn parked(
        &mut self,
        slot: usize,
        park: Park,
        signed: Signed,
    ) -> Option<usize> {
        let child = &*self.reaction.path;
        let held = self.lanes.get_mut(slot)?;
        held.writing = false;
        let drained = held.drain();
        let key: Arc<str> = park.key.as_str().into();
        if let Some(number) = drained
            && let Some(drain) = self.drain_of(&key, number)
        {
            drain.writing = false;
        }
        match signed {
            Ok(record) => {
                let Park { sequence, attempts, reason, .. } = &park;
                tracing::error!(
                    child,
                    key = &*key,
                    sequence,
                    attempts,
                    reason,
                    "a key is parked"
                );
                metrics::counter!(PARKED_TOTAL, "child" => child.to_owned()).increment(1);
                self.drains.remove(&key);
                self.register.parked(&key, record, park.from);
                self.look_later();
                self.done(slot).await
            }
            Err(ParkingError::Conflict) if drained.is_some() => {
                self.abandon(&key);
                self.lanes.leave(slot)?.1
            }
            Err(error) => {
                tracing::error!(child, key = &*key, %error, "a key could not be parked, trying again");
                self.look_up_by(Instant::now() + AGAIN);
                self.end_later(slot, End::Parked { reason: park.reason }, AGAIN);
                None
            }
        }
    }

    /// Lets events of keys that fail wait in the stream, where they take no room
    /// from the others.
    pub(super) fn make_room(&mut self) {
        if self.lanes.len() < CROWDED {
            return;
        }
        let mut crowds: HashMap<Arc<str>, (usize, Option<usize>)> = HashMap::new();
        for (slot, held) in self.lanes.iter_mut() {
            if matches!(held.source, Source::Live(_)) {
                let crowd = crowds.entry(held.key().into()).or_default();
                crowd.0 += 1;
                crowd.1 = crowd.1.or(held.fails().then_some(slot));
            }
        }
        for (key, (count, head)) in crowds {
            if let Some(slot) = head.filter(|_| count >= SHARE)
                && self.register.get(&key).is_none()
                && self.register.len() + self.parking < PARKED
            {
                self.put_in_the_stream(slot, &key);
            }
        }
    }

    fn put_in_the_stream(&mut self, slot: usize, key: &str) {
        let Some(held) = self.lanes.get_mut(slot) else {
            return;
        };
        let reason = held.why.clone().unwrap_or_default();
        let Some(park) = self.parting(slot, &reason) else {
            return;
        };
        self.parking += 1;
        let (parks, me) = (self.parks.clone(), self.me.clone());
        let subject = self.park_subject(key);
        self.beside(async move {
            let signed = sign(&parks, Act::Draining, &park, (subject, None), &me).await;
            Told::SetAside { slot, park, signed }
        });
    }

    /// Goes on with an event that fails as with one that was parked and is tried
    /// again: what is behind it is read from the stream when it is its turn.
    pub(super) async fn set_aside(
        &mut self,
        slot: usize,
        park: Park,
        signed: Signed,
    ) -> Option<usize> {
        self.parking -= 1;
        let now = Instant::now();
        let held = self.lanes.get_mut(slot)?;
        held.writing = false;
        let record = match signed {
            Ok(record) => record,
            Err(error) => {
                let child = &*self.reaction.path;
                tracing::warn!(child, key = park.key, %error, "a key that fails keeps others waiting");
                let due = held.due.unwrap_or(now);
                self.attend(due);
                return None;
            }
        };
        let (key, from): (Arc<str>, u64) = (park.key.as_str().into(), park.from);
        let drain = Drain::new(self.number(), park, record, now).at_hand();
        let number = drain.number;
        self.register.claimed(&key, record, from);
        self.drains.insert(Arc::clone(&key), drain);
        self.attend(now);
        let (mut first, mut next) = self.lanes.leave(slot)?;
        let stored = first.stored().clone();
        let source = mem::replace(&mut first.source, Source::Drained(stored, number));
        let mut rest = Vec::new();
        let mut let_go = Vec::from_iter(source.delivery());
        while let Some(at) = next {
            let (held, behind) = self.lanes.leave(at)?;
            next = behind;
            let sequence = held.stored().sequence;
            if sequence > from && held.delivery().is_some() {
                self.register.seen(&key, sequence);
                let_go.extend(held.source.delivery());
            } else {
                rest.push(held);
            }
        }
        for held in [first].into_iter().chain(rest) {
            self.lanes.arrive(Arc::clone(&key), held);
        }
        for delivery in let_go {
            acknowledge(delivery).await;
        }
        None
    }

    /// Describes a key as it is parked, and lets its event wait for that.
    fn parting(&mut self, slot: usize, reason: &str) -> Option<Box<Park>> {
        let reaction = self.reaction;
        let held = self.lanes.get_mut(slot)?;
        held.writing = true;
        let event = held.event(&self.stream).ok().flatten();
        let held = self.lanes.get_mut(slot)?;
        let (key, sequence) = (held.key(), held.stored().sequence);
        let known = self.register.get(key);
        Some(Box::new(Park {
            child: reaction.path.to_string(),
            domain: reaction.domain.to_owned(),
            key: key.to_owned(),
            from: known.map_or(sequence, |known| known.from.min(sequence)),
            sequence,
            index: u32::try_from(held.at).unwrap_or(u32::MAX),
            kind: event.map(|event| event.kind).unwrap_or_default(),
            reason: one_line(reason),
            attempts: held.attempt,
            since: reaction.client.clock().unix_ms(),
            by: self.me.clone(),
            note: None,
            amended: held.amended.clone(),
        }))
    }

    /// Lets an event end later, without another try.
    pub(super) fn end_later(&mut self, slot: usize, end: End, wait: Duration) {
        if let Some(held) = self.lanes.get_mut(slot) {
            held.writing = false;
            held.end = Some(end);
        }
        self.put_off(slot, wait);
    }

    pub(super) fn park_subject(&self, key: &str) -> String {
        let Self { reaction, .. } = self;
        let namespace = reaction.client.namespace();
        namespace.park(&reaction.path, reaction.domain, reaction.partition, key)
    }
}

/// Signs behind a record, or else behind the last one of the subject.
async fn sign(
    parks: &Parks,
    act: Act,
    park: &Park,
    (subject, after): (String, Option<u64>),
    me: &str,
) -> Signed {
    let after = match after {
        Some(after) => after,
        None => match parks.last(&subject).await {
            Ok((_, place)) => place,
            Err(error) => return Err(ParkingError::Unknown(error.to_string())),
        },
    };
    parks.sign(act, park, (subject, after), me).await
}
