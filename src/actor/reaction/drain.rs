//! What waited is handled in order, once the operator said how to go on.

use super::{
    AGAIN, DRAINS, RENEW,
    beside::{Claimed, Signed, Told},
    held::{Held, Source},
    reading::Reading,
};
use crate::{
    bus::{ReadError, Reader, Stored},
    call::{ParkRecord, ParkingError, Parks},
    message::{Act, Park},
    telemetry::RELEASED_TOTAL,
};
use std::{mem, sync::Arc, time::Duration};
use tokio::time::Instant;

/// How often it is noted how far a key is that goes on.
const SAVE: Duration = Duration::from_secs(3);

/// How long to wait for a record that is being written.
pub(super) const SHORTLY: Duration = Duration::from_millis(50);

/// A key whose events are read from the stream until none waits.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub(super) struct Drain {
    /// Which drain of this reader it is.
    pub(super) number: u64,
    /// What its records say of it, with the place that was reached.
    pub(super) park: Park,
    /// Its last record.
    pub(super) record: u64,
    /// Where its last record says that it is.
    noted: (u64, u32),
    reader: Option<Reader>,
    /// The next message to read.
    next: u64,
    /// The last message that was handed out.
    last: u64,
    /// When its last record was begun that was confirmed: the claim holds from
    /// then on for a while.
    saved: Instant,
    /// When it is noted how far it is.
    save: Instant,
    /// Whether a record of it is being written.
    pub(super) writing: bool,
    /// Whether an event of it is being read, or handled.
    busy: bool,
    /// Whether all was handled, and only that is to be noted.
    ending: bool,
    /// Whether another reader is the one of the partition, and shall have it.
    leaving: bool,
    /// Whether it is being noted that another one may have it.
    gone: bool,
    /// When it goes on, if it could not.
    due: Option<Instant>,
}

impl Drain {
    pub(super) fn new(number: u64, park: Park, record: u64, at: Instant) -> Self {
        Self {
            number,
            record,
            noted: (park.sequence, park.index),
            reader: None,
            next: park.sequence,
            last: 0,
            saved: at,
            save: at + SAVE,
            writing: false,
            busy: false,
            ending: false,
            leaving: false,
            gone: false,
            due: Some(at),
            park,
        }
    }

    /// Begins behind a message that is at hand.
    pub(super) const fn at_hand(mut self) -> Self {
        self.next = self.park.sequence + 1;
        self.last = self.park.sequence;
        self.busy = true;
        self.due = None;
        self
    }

    /// Notes that the message at hand was handled up to one of its events.
    pub(super) fn handled(&mut self, at: usize) {
        self.park.index = u32::try_from(at).unwrap_or(u32::MAX);
        self.park.amended = None;
    }

    /// Takes the next message in, and says where in it to begin.
    fn takes(&mut self, stored: Stored) -> Held {
        if stored.sequence != self.park.sequence {
            self.park.sequence = stored.sequence;
            self.park.index = 0;
            self.park.amended = None;
        }
        self.next = stored.sequence + 1;
        self.last = stored.sequence;
        let (index, amended) = (self.park.index, self.park.amended.clone());
        Held::new(Source::Drained(stored, self.number)).from(index, amended)
    }

    /// Returns when it is to be noted how far it is.
    fn look(&self) -> Instant {
        if self.noted == (self.park.sequence, self.park.index) {
            self.save.max(self.saved + RENEW)
        } else {
            self.save
        }
    }

    /// Whether others may think that this reader is gone.
    fn is_doubtful(&self, now: Instant) -> bool {
        self.saved + 2 * RENEW <= now
    }
}

impl Reading<'_> {
    /// Lets keys go on that shall, and handles dead letters again, if this is
    /// the reader of the partition.
    pub(super) fn begin(&mut self) {
        self.register.inherit(Instant::now());
        let keys = self.has_room_for_keys() && self.register.asked(&self.claims).is_some();
        let letters = self.register.letters.out() < DRAINS && self.register.letters.has_asked();
        if (keys || letters) && !self.closing {
            self.ask_whether_ours();
        }
    }

    /// Finds out whether no other reader is the one of the partition.
    fn ask_whether_ours(&mut self) {
        if !mem::replace(&mut self.asking, true) {
            let progress = self.consumer.progress();
            self.beside(async move {
                Told::Ours(progress.await.map(|progress| progress.ours).map_err(drop))
            });
        }
    }

    fn has_room_for_keys(&self) -> bool {
        self.drains.len() + self.claims.len() < DRAINS
    }

    pub(super) fn begin_if(&mut self, ours: Result<bool, ()>) {
        self.asking = false;
        if self.closing {
            return;
        }
        let Ok(ours) = ours else {
            return self.attend(Instant::now() + AGAIN);
        };
        if !ours {
            self.attend(Instant::now() + RENEW);
            // Events come to the other one, so it shall have what waits, too.
            for key in self.drains.keys().cloned().collect::<Vec<_>>() {
                self.leave_to_others(&key);
            }
            return;
        }
        while self.has_room_for_keys() {
            let Some(key) = self.register.asked(&self.claims) else {
                break;
            };
            self.claim(&key);
        }
        self.take_letters();
    }

    /// Takes it upon this reader to let a key go on.
    pub(super) fn claim(&mut self, key: &Arc<str>) {
        let Some(entry) = self.register.get(key) else {
            return;
        };
        if self.closing || !self.claims.insert(Arc::clone(key)) {
            return;
        }
        let (parks, me) = (self.parks.clone(), self.me.clone());
        let (subject, key) = (self.park_subject(key), Arc::clone(key));
        self.beside(async move {
            let claimed = claim(&parks, subject, entry.record, &me).await;
            Told::Claimed { key, claimed }
        });
    }

    pub(super) fn claimed(&mut self, key: &Arc<str>, claimed: Claimed) {
        self.claims.remove(key);
        let now = Instant::now();
        match claimed {
            Claimed::Mine(record, park) => {
                self.register.claimed(key, record, park.from);
                let drain = Drain::new(self.number(), *park, record, now);
                self.drains.insert(Arc::clone(key), drain);
            }
            Claimed::Not(record) => self.register.apply(&record, &self.me, now),
            Claimed::Failed(error) => {
                let child = &*self.reaction.path;
                tracing::warn!(child, key = &**key, error, "a parked key cannot go on yet");
                self.look_up_by(now + AGAIN);
                return;
            }
        }
        self.free_lane(key);
        self.attend(now);
    }

    /// Goes on with a key that waited.
    pub(super) fn drain_on(&mut self, key: &Arc<str>) {
        let now = Instant::now();
        let (subject, closing) = (self.event_subject(key), self.closing);
        let Some(drain) = self.drains.get_mut(key) else {
            return;
        };
        (drain.due, drain.busy) = (None, false);
        if closing {
            return;
        }
        if drain.leaving {
            return self.save(key);
        }
        if drain.is_doubtful(now) {
            // Whoever saw no sign of it for so long may have taken over.
            self.save(key);
            return self.drain_after(key, SHORTLY);
        }
        drain.busy = true;
        let (reader, next, number) = (drain.reader.take(), drain.next, drain.number);
        let (events, key) = (self.events.clone(), Arc::clone(key));
        self.beside(async move {
            let mut reader = reader;
            let read = async {
                let reader = match &mut reader {
                    Some(reader) => reader,
                    none => none.insert(events.read(&subject, next).await?),
                };
                reader.next().await
            };
            let read = read.await;
            Told::Read { key, number, reader, read }
        });
    }

    pub(super) fn has_read(
        &mut self,
        key: &Arc<str>,
        number: u64,
        reader: Option<Reader>,
        read: Result<Option<Stored>, ReadError>,
    ) -> Option<usize> {
        let drain = self.drain_of(key, number)?;
        match read {
            Ok(Some(stored)) => {
                drain.reader = reader;
                let held = drain.takes(stored);
                let look = drain.look();
                self.attend(look);
                self.enter(key, held)
            }
            Ok(None) => {
                drain.busy = false;
                self.release(key);
                None
            }
            Err(error) => {
                let child = &*self.reaction.path;
                tracing::warn!(child, key = &**key, %error, "a parked key cannot be read, trying again");
                self.drain_after(key, AGAIN);
                None
            }
        }
    }

    /// Returns a drain, unless it is over and this key's is another.
    pub(super) fn drain_of(&mut self, key: &str, number: u64) -> Option<&mut Drain> {
        let drain = self.drains.get_mut(key);
        drain.filter(|drain| drain.number == number)
    }

    fn drain_after(&mut self, key: &Arc<str>, wait: Duration) {
        let due = Instant::now() + wait;
        if let Some(drain) = self.drains.get_mut(key) {
            drain.busy = false;
            drain.due = Some(due);
        }
        self.attend(due);
    }

    /// Lets a key flow again, if nothing was put aside meanwhile.
    fn release(&mut self, key: &Arc<str>) {
        let seen = self.register.get(key).map_or(0, |entry| entry.seen);
        let (subject, parks) = (self.park_subject(key), self.parks.clone());
        let Some(drain) = self.drains.get_mut(key) else {
            return;
        };
        if !drain.ending && seen > drain.last.max(drain.next.saturating_sub(1)) {
            return self.drain_after(key, AGAIN);
        }
        if mem::replace(&mut drain.writing, true) {
            return self.drain_after(key, SHORTLY);
        }
        // From here on nothing is put aside: it would be behind the end.
        drain.ending = true;
        let mut park = Box::new(drain.park.clone());
        park.sequence = drain.last.max(park.sequence);
        park.amended = None;
        let (record, number) = (drain.record, drain.number);
        self.register.ending(key);
        let (me, key) = (self.me.clone(), Arc::clone(key));
        self.beside(async move {
            let place = (subject, record);
            let signed = parks.sign(Act::Released, &park, place, &me).await;
            Told::Released { key, number, park, signed }
        });
    }

    pub(super) fn released(&mut self, key: &Arc<str>, number: u64, park: &Park, signed: Signed) {
        let Some(drain) = self.drain_of(key, number) else {
            return;
        };
        drain.writing = false;
        match signed {
            Ok(_) => {
                let (child, through) = (&*self.reaction.path, park.sequence);
                tracing::info!(child, key = &**key, through, "a parked key goes on");
                metrics::counter!(RELEASED_TOTAL, "child" => child.to_owned()).increment(1);
                self.drains.remove(key);
                self.register.released(key, park.from, through);
                self.look_later();
                self.free_lane(key);
            }
            Err(ParkingError::Conflict) => self.abandon(key),
            Err(error) => {
                tracing::warn!(%error, "a parked key cannot go on yet, trying again");
                self.drain_after(key, AGAIN);
            }
        }
    }

    /// Lets go of a key that another reader, or the operator, has taken over.
    pub(super) fn abandon(&mut self, key: &Arc<str>) {
        let child = &*self.reaction.path;
        tracing::warn!(child, key = &**key, "another reader lets this key go on");
        if let Some(drain) = self.drains.remove(key) {
            self.drop_read(drain.number);
        }
        self.register.lost(key, Instant::now());
        self.look_up();
    }

    /// Sees to it that nothing is left of what a drain read that is over.
    fn drop_read(&mut self, number: u64) {
        let now = Instant::now();
        let read = |held: &Held| held.drain() == Some(number) && !held.running && !held.writing;
        for (_, held) in self.lanes.iter_mut().filter(|(_, held)| read(held)) {
            held.left = false;
            held.end = None;
            held.due = Some(now);
        }
        self.attend(now);
    }

    /// Leaves a key to the reader of the partition, after what is at hand.
    fn leave_to_others(&mut self, key: &Arc<str>) {
        let now = Instant::now();
        let Some(drain) = self.drains.get_mut(key) else {
            return;
        };
        drain.leaving = !drain.ending;
        let number = drain.number;
        // What is only to be tried again can be so elsewhere.
        for (_, held) in self.lanes.iter_mut() {
            if held.drain() == Some(number) && held.fails() {
                held.left = true;
                drain.busy = false;
            }
        }
        if drain.leaving && !drain.busy {
            self.save(key);
        }
        self.attend(now);
    }

    /// Goes on with what could not, and notes how far everything is.
    pub(super) fn tend(&mut self, now: Instant) {
        let is_due = |drain: &Drain| drain.due.is_some_and(|due| due <= now);
        let due = self.drains.iter().filter(|(_, drain)| is_due(drain));
        let due: Vec<_> = due
            .map(|(key, drain)| (Arc::clone(key), drain.ending))
            .collect();
        for (key, ending) in due {
            if ending {
                self.release(&key);
            } else {
                self.drain_on(&key);
            }
        }
        let old = |drain: &Drain| drain.look() <= now && !drain.writing;
        let old = self.drains.iter().filter(|(_, drain)| old(drain));
        let old: Vec<_> = old.map(|(key, _)| Arc::clone(key)).collect();
        if !old.is_empty() {
            // What waits goes to where the events go.
            self.ask_whether_ours();
        }
        for key in old {
            self.save(&key);
        }
        let at_rest = self.drains.values().filter(|drain| !drain.writing);
        let looks = at_rest.map(Drain::look);
        let dues = self.drains.values().filter_map(|drain| drain.due);
        if let Some(next) = looks.chain(dues).min() {
            self.attend(next);
        }
        self.tend_letters(now);
    }

    /// Notes how far a key is, and who goes on with it.
    fn save(&mut self, key: &Arc<str>) {
        let (subject, parks) = (self.park_subject(key), self.parks.clone());
        let me = self.me.clone();
        let Some(drain) = self.drains.get_mut(key) else {
            return;
        };
        if drain.ending || mem::replace(&mut drain.writing, true) {
            return;
        }
        let at = Instant::now();
        drain.save = at + SAVE;
        drain.noted = (drain.park.sequence, drain.park.index);
        let mut park = drain.park.clone();
        drain.gone = drain.leaving && !drain.busy;
        park.by = if drain.gone {
            String::new()
        } else {
            me.clone()
        };
        let (record, number) = (drain.record, drain.number);
        let key = Arc::clone(key);
        self.beside(async move {
            let place = (subject, record);
            let signed = parks.sign(Act::Draining, &park, place, &me).await;
            Told::Saved { key, number, at, signed }
        });
    }

    pub(super) fn saved(&mut self, key: &Arc<str>, number: u64, at: Instant, signed: Signed) {
        let Some(drain) = self.drain_of(key, number) else {
            return;
        };
        drain.writing = false;
        match signed {
            Ok(_) if drain.gone => {
                self.drains.remove(key);
                self.drop_read(number);
                self.look_up();
            }
            Ok(record) => {
                (drain.record, drain.saved) = (record, at);
                let (from, leaves) = (drain.park.from, drain.leaving && !drain.busy);
                self.register.claimed(key, record, from);
                if leaves {
                    self.save(key);
                }
                self.attend(Instant::now());
            }
            Err(ParkingError::Conflict) => self.abandon(key),
            Err(error) => {
                tracing::warn!(%error, "how far a parked key is could not be noted");
                if drain.leaving && !drain.busy {
                    self.drain_after(key, AGAIN);
                }
                self.attend(Instant::now() + AGAIN);
            }
        }
    }

    /// Notes for whoever comes next how far a key is.
    pub(super) async fn put_down(&mut self, key: &Arc<str>) {
        let (subject, parks) = (self.park_subject(key), self.parks.clone());
        let Some(drain) = self.drains.remove(key).filter(|drain| !drain.ending) else {
            return;
        };
        let park = Park { by: String::new(), ..drain.park };
        let place = (subject, drain.record);
        if let Err(error) = parks.sign(Act::Draining, &park, place, &self.me).await {
            tracing::warn!(key = &**key, %error, "how far a parked key is could not be noted");
        }
    }

    pub(super) fn event_subject(&self, key: &str) -> String {
        let namespace = self.reaction.client.namespace();
        format!("{namespace}.evt.{}.{key}", self.reaction.domain)
    }
}

/// Claims a key if nothing was recorded of it since this record.
pub(super) async fn claim(parks: &Parks, subject: String, known: u64, me: &str) -> Claimed {
    let (last, end) = match parks.last(&subject).await {
        Ok(last) => last,
        Err(error) => return Claimed::Failed(error.to_string()),
    };
    let last = match last {
        Some(last) if last.sequence == known => last,
        Some(newer) => return Claimed::Not(Box::new(newer)),
        None => return Claimed::Failed("its records are gone".to_owned()),
    };
    let ParkRecord { act, mut park, .. } = last;
    (park.sequence, park.index, park.amended) = match act {
        // Something was put aside after the end of another's work.
        Act::Released => (park.sequence + 1, 0, None),
        act => park.position(act),
    };
    me.clone_into(&mut park.by);
    match parks.sign(Act::Draining, &park, (subject, end), me).await {
        Ok(record) => Claimed::Mine(record, Box::new(park)),
        Err(error) => Claimed::Failed(error.to_string()),
    }
}
