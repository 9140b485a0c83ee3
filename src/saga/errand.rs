use super::page::Begin;
use crate::{
    bus::{
        Append, AppendError, ConsumerConfig, Expect, Message, ReadError, Stored, Stream,
        StreamConfig, StreamError, scheduled_for,
    },
    call::{Client, open_as_declared},
    message::{
        Headers, Id, Key, Namespace, codec,
        headers::{CB_UNREADABLE, MSG_ID, SCHEDULE},
    },
};
use serde::{Deserialize, Serialize};
use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

/// The name of the one consumer that all runners share.
const RUNNERS: &str = "runners";

/// What asks a saga to go on; the first one starts it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Errand {
    /// What it begins with, if it has not begun.
    pub(super) begin: Option<Begin>,
    /// How often its journal could not be read before.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(super) unread: u32,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
const fn is_zero(count: &u32) -> bool {
    *count == 0
}

impl Errand {
    /// Asks a saga to look again.
    const WAKE: Self = Self { begin: None, unread: 0 };
}

/// The alarm of a saga, as it was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Alarm {
    /// The last message on its subject; 0 if there is none.
    sequence: u64,
    /// When it rings, if it is set.
    pub(super) due: Option<SystemTime>,
}

/// Whether the bus knew a start already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// It did not; the journal may know it all the same.
    New,
    /// The same saga was started in the time for which the bus remembers ids.
    Again,
}

/// Where what asks the sagas of one kind to go on waits for a runner.
#[derive(Clone, Debug)]
pub(super) struct Errands {
    client: Client,
    saga: Arc<str>,
    pub(super) stream: Stream,
}

/// Why a saga could not be asked to go on.
#[derive(Debug, thiserror::Error)]
pub(super) enum ErrandError {
    #[error(transparent)]
    Codec(#[from] codec::EncodeError),
    #[error(transparent)]
    Append(#[from] AppendError),
    #[error("whether it is stored is not known: {0}")]
    Unknown(String),
}

impl Errands {
    pub(super) async fn open(client: &Client, saga: &str) -> Result<Self, StreamError> {
        let stream = open_as_declared(client.bus(), config(client, saga)).await?;
        Ok(Self { client: client.clone(), saga: saga.into(), stream })
    }

    pub(super) const fn client(&self) -> &Client {
        &self.client
    }

    /// Starts a saga, unless it was started; the bus knows the second start of
    /// the same two minutes, the journal every other.
    pub(super) async fn start(&self, id: &Key, begin: Begin) -> Result<Start, ErrandError> {
        let token = format!("start {}.{id}", self.saga);
        let errand = Errand { begin: Some(begin), unread: 0 };
        match self.put(id, errand, token).await? {
            Append::Committed { duplicate: true, .. } => Ok(Start::Again),
            _ => Ok(Start::New),
        }
    }

    /// Asks a saga to look again.
    pub(super) async fn wake(&self, id: &Key, token: Id) -> Result<(), ErrandError> {
        self.put(id, Errand::WAKE, token.to_string())
            .await
            .map(drop)
    }

    /// Asks a saga to look again at a time, in the place of the alarm that was looked
    /// at; returns whether that was still the one.
    pub(super) async fn wake_at(
        &self,
        id: &Key,
        time: SystemTime,
        seen: Alarm,
    ) -> Result<bool, ErrandError> {
        self.ring(id, Errand::WAKE, (time, seen)).await
    }

    /// Asks at a time for a saga whose journal could not be read, this often by now.
    pub(super) async fn read_at(
        &self,
        id: &Key,
        unread: u32,
        when: (SystemTime, Alarm),
    ) -> Result<bool, ErrandError> {
        self.ring(id, Errand { begin: None, unread }, when).await
    }

    /// Looks at a saga's alarm.
    pub(super) async fn alarm(&self, id: &Key) -> Result<Alarm, ReadError> {
        let subject = self.client.namespace().alarm(&self.saga, id);
        let last = self.stream.last(&subject).await?;
        let due = last.as_ref().and_then(|last| last.headers.get(SCHEDULE));
        let due = due.and_then(scheduled_for);
        Ok(Alarm { sequence: last.map_or(0, |last| last.sequence), due })
    }

    /// Returns the sequence of the last errand for a saga; 0 if there was none.
    pub(super) async fn last(&self, id: &Key) -> Result<u64, ReadError> {
        let subject = self.client.namespace().errand(&self.saga, id);
        let last = self.stream.last(&subject).await?;
        Ok(last.map_or(0, |last| last.sequence))
    }

    /// Returns what a saga is to begin with whose start waits for a runner.
    pub(super) async fn begin(&self, id: &Key) -> Result<Option<Begin>, ReadError> {
        let subject = self.client.namespace().errand(&self.saga, id);
        let mut waiting = self.stream.read(&subject, 1).await?;
        while let Some(stored) = waiting.next().await? {
            if let Ok((_, Errand { begin: Some(begin), .. })) = read(&stored) {
                return Ok(Some(begin));
            }
        }
        Ok(None)
    }

    async fn put(&self, id: &Key, errand: Errand, token: String) -> Result<Append, ErrandError> {
        let target = self.client.namespace().errand(&self.saga, id);
        let message = Message::new(target, codec::encode(&errand)?).headers(named(token));
        self.append(message, Expect::Any).await
    }

    async fn ring(
        &self,
        id: &Key,
        errand: Errand,
        (time, seen): (SystemTime, Alarm),
    ) -> Result<bool, ErrandError> {
        let namespace = self.client.namespace();
        let target = namespace.errand(&self.saga, id);
        let alarm = namespace.alarm(&self.saga, id);
        let message = Message::new(alarm, codec::encode(&errand)?)
            .headers(named(Id::new().to_string()))
            .scheduled(time, &target);
        let set = self.append(message, Expect::Last(seen.sequence)).await?;
        Ok(set != Append::Conflict)
    }

    async fn append(&self, message: Message, expect: Expect) -> Result<Append, ErrandError> {
        match self.stream.append(message, expect).await? {
            Append::Unknown { reason } => Err(ErrandError::Unknown(reason)),
            known => Ok(known),
        }
    }

    /// Describes the consumer that all runners share: what one of them holds and
    /// does not speak of for this long goes to another.
    pub(super) fn consumer(&self, lease: Duration, in_flight: usize) -> ConsumerConfig {
        reads_errands((self.client.namespace(), &self.saga), lease, in_flight)
    }
}

/// Describes the consumer of the runners of a saga.
pub(crate) fn reads_errands(
    (namespace, saga): (&Namespace, &str),
    lease: Duration,
    in_flight: usize,
) -> ConsumerConfig {
    let mut config = ConsumerConfig::new(RUNNERS);
    let [now, _] = namespace.errands(saga);
    config.filter = Some(now);
    config.ack_wait = lease;
    config.max_ack_pending = in_flight;
    config
}

fn named(token: String) -> Headers {
    let mut headers = Headers::with_capacity(3);
    headers.put(MSG_ID, token);
    headers
}

/// Describes the stream of what asks sagas to go on.
pub(super) fn config(client: &Client, saga: &str) -> StreamConfig {
    StreamConfig::errands(client.namespace(), saga).replicas(client.copies())
}

/// Returns the id of the saga that an errand is for, and what it says.
pub(super) fn read(stored: &Stored) -> Result<(Key, Errand), String> {
    let id = stored.subject.rsplit('.').next().unwrap_or_default();
    let id = Key::from_token(id).map_err(|error| error.to_string())?;
    if let Some(fault) = stored.headers.get(CB_UNREADABLE) {
        return Err(format!("{} cannot be read: {fault}", stored.subject));
    }
    let errand = codec::decode(&stored.payload).map_err(|error| error.to_string())?;
    Ok((id, errand))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{bus::Bus, message::Namespace};

    #[tokio::test]
    async fn an_alarm_that_is_set_late_does_not_replace_one_that_was_set_meanwhile() {
        let client = Client::new(Bus::embedded(), Namespace::default());
        let errands = Errands::open(&client, "checkout").await.unwrap();
        let (id, now) = (Key::new("o-1").unwrap(), client.clock().now());
        let at = |seconds| now + Duration::from_secs(seconds);
        let seen = errands.alarm(&id).await.unwrap();
        assert_eq!(seen, Alarm { sequence: 0, due: None });
        // Two runners looked at the same; the word of the slower one arrives last.
        assert!(errands.wake_at(&id, at(50), seen).await.unwrap());
        assert!(!errands.wake_at(&id, at(86_400), seen).await.unwrap());
        let set = errands.alarm(&id).await.unwrap();
        let due = set.due.unwrap().duration_since(now).unwrap();
        assert!(due <= Duration::from_secs(51), "it rings in {due:?}");
        assert!(errands.wake_at(&id, at(60), set).await.unwrap());
    }
}
