use crate::message::Headers;
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
