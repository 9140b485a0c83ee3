use super::{
    Broker, Consumer, Reader,
    lease::Lease,
    log::{Outcome, id_of},
    record::Record,
    store::Disk,
};
use crate::bus::{
    Append, AppendError, CancelError, ConsumerConfig, ConsumerError, Expect, Message, Progress,
    ReadError, Stored, StreamInfo,
    declared::keeps,
    names::{is_filter, is_subject},
    schedule::Schedule,
};
use std::fmt;
use tokio::task::coop::consume_budget;

/// A handle to one stream of the broker.
#[derive(Clone)]
pub(in crate::bus) struct Stream {
    broker: Broker,
    kept: Lease,
}

impl Stream {
    pub(super) const fn new(broker: Broker, kept: Lease) -> Self {
        Self { broker, kept }
    }

    pub(in crate::bus) async fn append(
        &self,
        mut message: Message,
        expect: Expect,
    ) -> Result<Append, AppendError> {
        self.check(&message)?;
        consume_budget().await;
        message.reply = None;
        let (outcome, _) = self.broker.store(&self.kept, message, expect).await;
        let outcome = match outcome {
            Ok(outcome) => outcome,
            Err(broken) => return Ok(Append::Unknown { reason: broken.0.as_ref().into() }),
        };
        match outcome {
            Outcome::Stored { sequence } => Ok(Append::Committed { sequence, duplicate: false }),
            Outcome::Duplicate { sequence } => Ok(Append::Committed { sequence, duplicate: true }),
            Outcome::Conflict { .. } => Ok(Append::Conflict),
            Outcome::Full { limit } => Err(AppendError::Full {
                stream: self.name(),
                reason: format!("it holds {limit} messages, its limit"),
            }),
            Outcome::NoRoom => Err(AppendError::Full {
                stream: self.name(),
                reason: "the disk is full; appends go on once there is room".into(),
            }),
        }
    }

    fn check(&self, message: &Message) -> Result<(), AppendError> {
        Broker::check(message)?;
        if id_of(&message.headers).is_none() {
            return Err(AppendError::NoId { subject: message.subject.clone() });
        }
        if !self.kept.captures(&message.subject) {
            let subject = message.subject.clone();
            return Err(AppendError::NotCaptured { stream: self.name(), subject });
        }
        Schedule::of(message, self.kept.config())?;
        if let Some(broken) = self.kept.disk().and_then(Disk::failure) {
            let (subject, reason) = (message.subject.clone(), broken.0.as_ref().into());
            return Err(AppendError::Refused { stream: self.name(), subject, reason });
        }
        Ok(())
    }

    pub(in crate::bus) async fn cancel(&self, subject: &str) -> Result<bool, CancelError> {
        let (stream, at) = (self.name(), subject.to_owned());
        if !self.kept.config().schedules || !is_subject(subject) || !self.kept.captures(subject) {
            return Err(CancelError::NotKept { stream, subject: at });
        }
        self.kept.cancel(subject).await.map_err(|broken| {
            let reason = broken.0.as_ref().into();
            CancelError::Unavailable { stream, subject: at, reason }
        })
    }

    pub(in crate::bus) async fn last(&self, subject: &str) -> Result<Option<Stored>, ReadError> {
        if !is_subject(subject) || !self.kept.captures(subject) {
            return Err(self.unreadable(subject));
        }
        self.kept.pass_on();
        match self.kept.last(subject) {
            Ok(last) => Ok(last.map(Record::give)),
            Err(error) => {
                Err(ReadError::Unavailable { stream: self.name(), reason: error.to_string() })
            }
        }
    }

    pub(in crate::bus) async fn read(&self, filter: &str, from: u64) -> Result<Reader, ReadError> {
        if !is_filter(filter) || !keeps(self.kept.config(), filter) {
            return Err(self.unreadable(filter));
        }
        self.kept.pass_on();
        Ok(Reader::new(self.kept.clone(), filter, from))
    }

    pub(in crate::bus) fn read_last(&self, filter: &str) -> Result<Reader, ReadError> {
        if !is_filter(filter) || !keeps(self.kept.config(), filter) {
            return Err(self.unreadable(filter));
        }
        self.kept.pass_on();
        Reader::of_last(self.kept.clone(), filter).map_err(|error| ReadError::Unavailable {
            stream: self.name(),
            reason: error.to_string(),
        })
    }

    pub(in crate::bus) fn read_partition(&self, partition: u32, from: u64) -> Reader {
        Reader::of_partition(self.kept.clone(), partition, from)
    }

    pub(in crate::bus) async fn consumer(
        &self,
        config: &ConsumerConfig,
    ) -> Result<Consumer, ConsumerError> {
        let seat = self.kept.seat(config)?;
        Ok(Consumer::new(self.kept.clone(), seat))
    }

    pub(in crate::bus) fn progress_of(&self, consumer: &str) -> Option<Progress> {
        self.kept.progress_of(consumer)
    }

    pub(in crate::bus) async fn info(&self) -> Result<StreamInfo, ReadError> {
        self.kept.pass_on();
        Ok(self.kept.info())
    }

    /// Whether it knows the ids of all that it holds, which only a stored one does.
    pub(in crate::bus) fn keeps_ids(&self) -> bool {
        self.kept.disk().is_some()
    }

    fn name(&self) -> String {
        self.kept.config().name.clone()
    }

    fn unreadable(&self, filter: &str) -> ReadError {
        ReadError::Filter { stream: self.name(), filter: filter.into() }
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Stream({})", self.kept.config().name)
    }
}
