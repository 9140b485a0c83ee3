//! A key that cannot go on waits in the stream, and says so in the records.

use super::{
    AGAIN, PARK_AGAIN, PARKED,
    held::{End, Source, acknowledge, key_of},
    reading::Reading,
    register::Standing,
};
use crate::{
    call::{ParkRecord, ParkingError},
    message::{Act, Park},
    telemetry::{PARK_FULL_TOTAL, PARKED_TOTAL},
};
use std::sync::Arc;
use tokio::time::Instant;

impl Reading<'_> {
    /// Reads what the records say that is not known here yet.
    pub(super) async fn refresh(&mut self) -> Result<(), String> {
        let reaction = self.reaction;
        let namespace = reaction.client.namespace();
        let filter = namespace.parks(&reaction.path, reaction.domain, reaction.partition);
        let since = self.register.read() + 1;
        let told = async {
            let mut records = self.parks.since(&filter, since).await?;
            while let Some(stored) = records.next().await? {
                let record = self.parks.read(&stored);
                // Two paths may look alike in a subject.
                if let Some(record) = record.filter(|record| *record.park.child == *reaction.path) {
                    self.register.apply(&record, &self.me, Instant::now());
                }
                if self.register.passed() % PARKED == PARKED - 1 {
                    let floor = self
                        .consumer
                        .progress()
                        .await
                        .map(|progress| progress.floor);
                    self.register.prune(floor.unwrap_or(0));
                }
            }
            Ok::<_, crate::bus::ReadError>(())
        };
        told.await.map_err(|error| error.to_string())
    }

    /// As [`refresh`](Self::refresh); if it fails it is tried again soon.
    pub(super) async fn look_up(&mut self) {
        let now = Instant::now();
        self.next_look_up = now + super::LOOK_UP;
        if let Err(error) = self.refresh().await {
            tracing::warn!(
                child = &*self.reaction.path,
                error,
                "the records of parked keys cannot be read"
            );
            self.next_look_up = now + AGAIN;
        }
        self.attend(self.next_look_up);
    }

    /// Says what becomes of an event that comes now; its key is claimed for that.
    pub(super) async fn standing(&mut self, key: &Arc<str>, sequence: u64) -> Standing {
        let mut standing = self.register.standing(key, sequence);
        if standing == Standing::Unclaimed {
            self.claim(key).await;
            standing = self.register.standing(key, sequence);
        }
        if standing == Standing::Waits {
            self.register.seen(key, sequence);
        }
        standing
    }

    /// Parks a key, then lets go of the event; until that is written down, the
    /// event is kept.
    pub(super) async fn park(&mut self, slot: usize, reason: String) -> Option<usize> {
        let reaction = self.reaction;
        let child = &*reaction.path;
        let held = self.lanes.get_mut(slot)?;
        let drained = matches!(held.source, Source::Drained(_));
        let key: Arc<str> = held.key().into();
        let known = self.register.get(&key);
        if known.is_none() && self.register.len() >= PARKED {
            tracing::error!(
                child,
                key = &*key,
                reason,
                "too many keys are parked, this one waits"
            );
            metrics::counter!(PARK_FULL_TOTAL, "child" => child.to_owned()).increment(1);
            self.put_off(slot, PARK_AGAIN);
            return None;
        }
        let park = self.parting(slot, &reason)?;
        let after = known.filter(|_| drained).map(|known| known.record);
        match self.record(Act::Parked, &park, after).await {
            Ok(record) => {
                let Park { sequence, attempts, .. } = park;
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
            Err(ParkingError::Conflict) if drained => {
                self.abandon(&key).await;
                self.done(slot).await
            }
            Err(error) => {
                tracing::error!(child, key = &*key, %error, "a key could not be parked, trying again");
                self.look_up().await;
                self.lanes.get_mut(slot)?.end = Some(End::Parked { reason });
                self.put_off(slot, AGAIN);
                None
            }
        }
    }

    /// Describes a key as it is parked.
    fn parting(&mut self, slot: usize, reason: &str) -> Option<Park> {
        let reaction = self.reaction;
        let held = self.lanes.get_mut(slot)?;
        let sequence = held.stored().sequence;
        let event = held.event(&self.stream).ok().flatten();
        let key = held.key();
        let known = self.register.get(key);
        Some(Park {
            child: reaction.path.to_string(),
            domain: reaction.domain.to_owned(),
            key: key.to_owned(),
            from: known.map_or(sequence, |known| known.from.min(sequence)),
            sequence,
            index: u32::try_from(held.at).unwrap_or(u32::MAX),
            kind: event.map(|event| event.kind).unwrap_or_default(),
            reason: reason.to_owned(),
            attempts: held.attempt,
            since: reaction.client.clock().unix_ms(),
            by: self.me.clone(),
            note: None,
            amended: held.amended.clone(),
        })
    }

    /// Appends a record of a key, behind the one at this place or the last one.
    pub(super) async fn record(
        &self,
        act: Act,
        park: &Park,
        after: Option<u64>,
    ) -> Result<u64, ParkingError> {
        let subject = self.park_subject(&park.key);
        let after = match after {
            Some(after) => after,
            None => match self.parks.last(&subject).await {
                Ok((_, place)) => place,
                Err(error) => return Err(ParkingError::Unknown(error.to_string())),
            },
        };
        self.parks.append(act, park, (subject, after)).await
    }

    /// Returns the last record of a key.
    pub(super) async fn last_record(&self, key: &str) -> Option<ParkRecord> {
        match self.parks.last(&self.park_subject(key)).await {
            Ok((record, _)) => record,
            Err(error) => {
                tracing::warn!(child = &*self.reaction.path, key, %error, "a parked key cannot be looked up");
                None
            }
        }
    }

    fn park_subject(&self, key: &str) -> String {
        let Self { reaction, .. } = self;
        let namespace = reaction.client.namespace();
        namespace.park(&reaction.path, reaction.domain, reaction.partition, key)
    }

    /// Whether an event that just came is none to handle; then it is let go.
    pub(super) async fn put_aside(
        &mut self,
        delivery: crate::bus::Delivery,
    ) -> Option<crate::bus::Delivery> {
        if self.register.is_idle() {
            return Some(delivery);
        }
        let key: Arc<str> = key_of(&delivery.message).into();
        match self.standing(&key, delivery.message.sequence).await {
            Standing::Free | Standing::Unclaimed | Standing::Elsewhere => Some(delivery),
            Standing::Passed | Standing::Waits => {
                acknowledge(delivery).await;
                None
            }
        }
    }
}
