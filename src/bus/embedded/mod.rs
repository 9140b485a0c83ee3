//! The carrier inside this process.
//!
//! All state sits behind the broker's locks; there are no tasks and no timers
//! of its own: whoever waits for a redelivery waits in its own future, so the
//! bus works on any runtime and on a paused clock.

use super::{
    AckError, Append, AppendError, ConsumerConfig, ConsumerError, Delivery, Expect, Message,
    ReadError, RequestError, SendError, Stored, StreamConfig, StreamError, StreamInfo,
    SubscribeError, consumer::Ack,
};
use std::time::Duration;

#[derive(Clone, Debug)]
pub(super) struct Broker;

impl Broker {
    pub(super) fn new() -> Self {
        todo!()
    }
    pub(super) fn send(&self, message: Message) -> Result<(), SendError> {
        todo!("{message:?}")
    }
    pub(super) fn subscribe(
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
    pub(super) fn stream(&self, config: &StreamConfig) -> Result<Stream, StreamError> {
        todo!("{config:?}")
    }
    pub(super) fn streams(&self) -> Vec<StreamInfo> {
        todo!()
    }
    pub(super) fn unsettled(&self) -> usize {
        todo!()
    }
}

#[derive(Debug)]
pub(super) struct Subscription;
impl Subscription {
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
}
