use super::page::Begin;
use crate::{
    bus::{
        Append, AppendError, ConsumerConfig, Expect, Message, Stored, Stream, StreamConfig,
        StreamError,
    },
    call::{Client, open_as_declared},
    message::{Headers, Id, Key, codec, headers::MSG_ID},
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

    /// Starts a saga, unless it was started; the bus knows the second start of
    /// the same two minutes, the journal every other.
    pub(super) async fn start(&self, id: &Key, begin: Begin) -> Result<(), ErrandError> {
        let token = format!("start {}.{id}", self.saga);
        self.put(id, Errand { begin: Some(begin) }, (token, None))
            .await
    }

    /// Asks a saga to look again.
    pub(super) async fn wake(&self, id: &Key, token: Id) -> Result<(), ErrandError> {
        self.put(id, Errand { begin: None }, (token.to_string(), None))
            .await
    }

    /// Asks a saga to look again at a time; an earlier alarm is replaced.
    pub(super) async fn wake_at(&self, id: &Key, time: SystemTime) -> Result<(), ErrandError> {
        let token = Id::new().to_string();
        self.put(id, Errand { begin: None }, (token, Some(time)))
            .await
    }

    async fn put(
        &self,
        id: &Key,
        errand: Errand,
        (token, time): (String, Option<SystemTime>),
    ) -> Result<(), ErrandError> {
        let namespace = self.client.namespace();
        let target = namespace.errand(&self.saga, id);
        let mut headers = Headers::with_capacity(3);
        headers.put(MSG_ID, token);
        let payload = codec::encode(&errand)?;
        let message = match time {
            None => Message::new(target, payload).headers(headers),
            Some(time) => Message::new(namespace.alarm(&self.saga, id), payload)
                .headers(headers)
                .scheduled(time, &target),
        };
        match self.stream.append(message, Expect::Any).await? {
            Append::Committed { .. } | Append::Conflict => Ok(()),
            Append::Unknown { reason } => Err(ErrandError::Unknown(reason)),
        }
    }

    /// Describes the consumer that all runners share: what one of them holds and
    /// does not speak of for this long goes to another.
    pub(super) fn consumer(&self, lease: Duration, in_flight: usize) -> ConsumerConfig {
        let mut config = ConsumerConfig::new(RUNNERS);
        let [now, _] = self.client.namespace().errands(&self.saga);
        config.filter = Some(now);
        config.ack_wait = lease;
        config.max_ack_pending = in_flight;
        config
    }
}

/// Describes the stream of what asks sagas to go on.
pub(super) fn config(client: &Client, saga: &str) -> StreamConfig {
    StreamConfig::errands(client.namespace(), saga).replicas(client.copies())
}

/// Returns the id of the saga that an errand is for, and what it says.
pub(super) fn read(stored: &Stored) -> Result<(Key, Errand), String> {
    let id = stored.subject.rsplit('.').next().unwrap_or_default();
    let id = Key::from_token(id).map_err(|error| error.to_string())?;
    let errand = codec::decode(&stored.payload).map_err(|error| error.to_string())?;
    Ok((id, errand))
}
