//! The carrier over a NATS server; the only folder that names `async_nats`.

use super::{
    AckError, Append, AppendError, ConnectError, ConsumerConfig, ConsumerError, Delivery, Expect,
    Message, ReadError, RequestError, SendError, Stored, StreamConfig, StreamError, StreamInfo,
    SubscribeError, consumer::Ack,
};
use std::{fmt, time::Duration};

/// Where the server is and who connects.
#[derive(Clone)]
pub struct Options {
    url: String,
}

impl Options {
    /// Names the server, or several of one cluster separated by commas.
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into() }
    }
}

impl From<&str> for Options {
    fn from(url: &str) -> Self {
        Self::new(url)
    }
}

impl From<String> for Options {
    fn from(url: String) -> Self {
        Self::new(url)
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

#[derive(Clone, Debug)]
pub(super) struct Link;

impl Link {
    pub(super) async fn connect(options: Options) -> Result<Self, ConnectError> {
        todo!("{options:?}")
    }
    pub(super) async fn reopen(&self) -> Result<Self, ConnectError> {
        todo!()
    }
    pub(super) async fn send(&self, message: Message) -> Result<(), SendError> {
        todo!("{message:?}")
    }
    pub(super) async fn subscribe(
        &self,
        filter: &str,
        queue: Option<&str>,
    ) -> Result<Subscription, SubscribeError> {
        todo!("{filter:?}{queue:?}")
    }
    pub(super) async fn request(
        &self,
        message: Message,
        timeout: Duration,
    ) -> Result<Message, RequestError> {
        todo!("{message:?}{timeout:?}")
    }
    pub(super) async fn stream(&self, config: &StreamConfig) -> Result<Stream, StreamError> {
        todo!("{config:?}")
    }
    pub(super) async fn streams(&self) -> Result<Vec<StreamInfo>, StreamError> {
        todo!()
    }
    pub(super) async fn close(&self) {
        todo!()
    }
}

impl fmt::Display for Link {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        todo!()
    }
}

#[derive(Debug)]
pub(super) struct Subscription;
impl Subscription {
    pub(super) async fn drain(&mut self) {
        todo!()
    }
    pub(super) async fn next(&mut self) -> Option<Message> {
        todo!()
    }
}

#[derive(Clone, Debug)]
pub(super) struct Stream;
impl Stream {
    pub(super) async fn append(
        &self,
        message: Message,
        expect: Expect,
    ) -> Result<Append, AppendError> {
        todo!("{message:?}{expect:?}")
    }
    pub(super) async fn last(&self, subject: &str) -> Result<Option<Stored>, ReadError> {
        todo!("{subject}")
    }
    pub(super) async fn read(&self, filter: &str, from: u64) -> Result<Reader, ReadError> {
        todo!("{filter}{from}")
    }
    pub(super) async fn consumer(
        &self,
        config: &ConsumerConfig,
    ) -> Result<Consumer, ConsumerError> {
        todo!("{config:?}")
    }
    pub(super) async fn info(&self) -> Result<StreamInfo, ReadError> {
        todo!()
    }
}

#[derive(Debug)]
pub(super) struct Reader;
impl Reader {
    pub(super) async fn next(&mut self) -> Result<Option<Stored>, ReadError> {
        todo!()
    }
}

#[derive(Debug)]
pub(super) struct Consumer;
impl Consumer {
    pub(super) async fn next(&mut self) -> Result<Delivery, ConsumerError> {
        todo!()
    }
}

#[derive(Debug)]
pub(super) struct Acker;
impl Acker {
    pub(super) async fn say(&self, message: &Stored, ack: Ack) -> Result<(), AckError> {
        todo!("{message:?}{ack:?}")
    }
    pub(super) async fn confirm(&self, message: &Stored) -> Result<(), AckError> {
        todo!("{message:?}")
    }
}
