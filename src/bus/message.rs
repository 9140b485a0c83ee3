use super::schedule::Schedule;
use crate::{
    message::{Headers, Id, headers::MSG_ID},
    time::unix_ms,
};
use bytes::Bytes;
use std::time::SystemTime;

/// One message as the bus carries it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Where it is sent.
    pub subject: String,
    /// Where an answer is expected; nothing if none is.
    pub reply: Option<String>,
    /// Its headers.
    pub headers: Headers,
    /// Its payload, uninterpreted.
    pub payload: Bytes,
}

impl Message {
    /// Builds a message without headers or reply subject.
    pub fn new(subject: impl Into<String>, payload: impl Into<Bytes>) -> Self {
        Self {
            subject: subject.into(),
            reply: None,
            headers: Headers::new(),
            payload: payload.into(),
        }
    }

    /// Lets the stream keep it until a time, then pass it on to another subject
    /// of the stream, once; the stream must keep
    /// [`schedules`](super::StreamConfig::schedules).
    ///
    /// A message that is scheduled later on the same subject replaces it;
    /// [`Stream::cancel`](super::Stream::cancel) takes it back. It is passed on
    /// with its payload and its own headers, but without `Nats-Msg-Id`. A time
    /// that has passed, also while nothing ran, means at once; one after the
    /// year 2261 means its end.
    #[must_use]
    pub fn scheduled(mut self, at: SystemTime, target: &str) -> Self {
        Schedule::write(&mut self.headers, at, target);
        self
    }

    /// Replaces the headers.
    #[must_use]
    pub fn headers(mut self, headers: Headers) -> Self {
        self.headers = headers;
        self
    }
}

/// One message as a stream keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The subject it was published on, also where the stream files it by partition.
    pub subject: String,
    /// Its headers.
    pub headers: Headers,
    /// Its payload.
    pub payload: Bytes,
    /// Its place in the stream, from 1.
    pub sequence: u64,
    /// When the stream stored it.
    pub time: SystemTime,
}

impl Stored {
    /// Returns what tells it from another message that has its sequence, where a
    /// stream lost its end and went on: its id, or its time if it has none.
    pub(crate) fn mark(&self) -> u128 {
        match self.headers.get(MSG_ID) {
            None | Some("") => u128::from(unix_ms(self.time)),
            Some(id) => Id::from(id).mark(),
        }
    }
}
