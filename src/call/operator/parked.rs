use super::{LEASE, LastRecord, Operator, OperatorError};
use crate::{
    bus::{PARTITIONS, Reader, partition},
    call::ParkRecord,
    message::{Act, Key, Park},
    time::{Clock, from_unix_ms},
};
use bytes::Bytes;
use std::time::SystemTime;

/// How many bytes the payload of an amended event may have: a record has room
/// for it and for what else it says, as long as that may be.
const MAX_AMENDED: usize = 240 * 1024;

/// A key that could not go on, as it is now.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Parked {
    /// The path of the actor that could not go on, such as `orders/desk`.
    pub child: String,
    /// The domain of the events.
    pub domain: String,
    /// The key.
    pub key: String,
    /// The sequence of the event that could not be handled, in its stream.
    pub sequence: u64,
    /// Which of its message's events it is, from 0.
    pub index: u32,
    /// Its type.
    pub kind: String,
    /// Why it could not be handled.
    pub reason: String,
    /// How often it was tried.
    pub attempts: u32,
    /// When it was given up.
    pub since: SystemTime,
    /// What was put in the place of its payload.
    pub amended: Option<Bytes>,
    /// What is being done about it.
    pub state: ParkedState,
    /// When that was said last.
    pub noted: SystemTime,
    record: ParkRecord,
    /// The place of what is last on its subject.
    end: u64,
}

/// What is being done about a parked key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ParkedState {
    /// Nothing yet.
    Parked,
    /// The operator asked for another try; no reader has begun.
    Retried,
    /// The operator gave the event up; no reader has begun with those behind it.
    Skipped,
    /// The operator amended the event; no reader has begun.
    Amended,
    /// A reader handles what waits.
    Draining,
}

impl ParkedState {
    /// Returns its name, in lower case.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Parked => "parked",
            Self::Retried => "retried",
            Self::Skipped => "skipped",
            Self::Amended => "amended",
            Self::Draining => "draining",
        }
    }
}

impl Parked {
    fn of(last: LastRecord) -> Option<Self> {
        let LastRecord { record, time, end } = last;
        let state = match record.act {
            Act::Parked => ParkedState::Parked,
            Act::Retried => ParkedState::Retried,
            Act::Skipped => ParkedState::Skipped,
            Act::Amended => ParkedState::Amended,
            Act::Draining => ParkedState::Draining,
            Act::Released | Act::Redriven => return None,
        };
        let park = &record.park;
        let key = Key::from_token(&park.key);
        Some(Self {
            child: park.child.clone(),
            domain: park.domain.clone(),
            key: key.map_or_else(|_| park.key.clone(), |key| key.decode()),
            sequence: park.sequence,
            index: park.index,
            kind: park.kind.clone(),
            reason: park.reason.clone(),
            attempts: park.attempts,
            since: from_unix_ms(park.since),
            amended: park.amended.clone(),
            state,
            noted: time,
            record,
            end,
        })
    }
}

impl Operator {
    /// Returns all parked keys, those that have waited longest first.
    ///
    /// # Errors
    ///
    /// Returns [`OperatorError`] if the records cannot be read.
    ///
    /// # Cancel safety
    ///
    /// Safe: nothing is changed.
    pub async fn parked(&self) -> Result<Vec<Parked>, OperatorError> {
        let filter = format!("{}.park.key.>", self.namespace);
        let over = |record: &ParkRecord| record.act == Act::Released;
        let records = self.records(&filter, over).await?;
        let mut parked: Vec<_> = records.into_values().filter_map(Parked::of).collect();
        parked.sort_by_key(|parked| (parked.since, parked.record.sequence));
        Ok(parked)
    }

    /// Reads the event that a key is parked at, and those that wait behind it.
    ///
    /// # Errors
    ///
    /// Returns [`OperatorError`] if the stream of the domain cannot be read.
    ///
    /// # Cancel safety
    ///
    /// Safe: nothing is changed.
    pub async fn waiting(&self, parked: &Parked) -> Result<Option<Reader>, OperatorError> {
        let park = &parked.record.park;
        self.events(&park.domain, &park.key, park.sequence).await
    }

    /// Asks for another try of the event, then those behind it.
    ///
    /// # Errors
    ///
    /// Returns [`OperatorError`] if the key is not as it was looked at, or is
    /// being handled now.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future may or may not ask.
    pub async fn retry(&self, parked: &Parked) -> Result<(), OperatorError> {
        let park = parked.record.park.clone();
        self.act(parked, Act::Retried, park).await
    }

    /// Gives the event up, for a reason, and lets those behind it go on.
    ///
    /// # Errors
    ///
    /// As [`retry`](Self::retry).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future may or may not give it up.
    pub async fn skip(
        &self,
        parked: &Parked,
        reason: impl Into<String>,
    ) -> Result<(), OperatorError> {
        let note = Some(reason.into());
        let park = Park { note, ..parked.record.park.clone() };
        self.act(parked, Act::Skipped, park).await
    }

    /// Asks for another try of the event with another payload, in MessagePack;
    /// then of those behind it. The event in the stream stays as it is. If the
    /// actor cannot read the payload or gives it up, the key is parked again.
    ///
    /// # Errors
    ///
    /// As [`retry`](Self::retry).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future may or may not ask.
    pub async fn amend(
        &self,
        parked: &Parked,
        payload: impl Into<Bytes>,
    ) -> Result<(), OperatorError> {
        let payload = payload.into();
        if payload.len() > MAX_AMENDED {
            let bytes = payload.len();
            let reason = format!("a payload of {bytes} bytes; {MAX_AMENDED} is the most");
            return Err(OperatorError::Record { reason });
        }
        let amended = Some(payload);
        let park = Park { amended, ..parked.record.park.clone() };
        self.act(parked, Act::Amended, park).await
    }

    async fn act(&self, parked: &Parked, act: Act, mut park: Park) -> Result<(), OperatorError> {
        let now = Clock::system().now();
        let silent = now.duration_since(parked.noted).unwrap_or_default();
        // Whoever was at it and says nothing any more does not lock the operator out.
        if parked.state == ParkedState::Draining && silent < LEASE {
            let (child, key) = (parked.child.clone(), parked.key.clone());
            return Err(OperatorError::Draining { child, key, silent });
        }
        let Some(parks) = self.parks().await? else {
            return Err(OperatorError::Changed);
        };
        park.by.clone_from(&self.source);
        let at = partition(&park.key, PARTITIONS);
        let subject = self
            .namespace
            .park(&park.child, &park.domain, at, &park.key);
        parks.append(act, &park, (subject, parked.end)).await?;
        self.poke(&park.child).await
    }
}
