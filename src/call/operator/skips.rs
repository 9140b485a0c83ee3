use super::{Operator, OperatorError};
use crate::{
    bus::{Append, Expect, Message, StreamConfig},
    call::{Skip, SkipRecord},
    message::{
        Headers, Id, Key, codec,
        headers::{CONTENT_TYPE, MSG_ID},
    },
    time::{Clock, from_unix_ms},
};
use bytes::Bytes;
use std::time::SystemTime;

/// A message that an operator left out of its entity.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SkippedMessage {
    /// The domain of the entity.
    pub domain: String,
    /// The entity's key.
    pub key: String,
    /// The sequence of the message in the stream of the domain's events.
    pub sequence: u64,
    /// Why.
    pub reason: String,
    /// Who left it out.
    pub by: String,
    /// When.
    pub at: SystemTime,
}

impl Operator {
    /// Records that a message is no part of the entity on whose subject it stands,
    /// for a reason: entities and projections pass over it from then on, and the
    /// entity is loaded anew. The message stays where it is. A projection that has
    /// folded it already forgets it when it is built anew.
    ///
    /// # Errors
    ///
    /// Returns [`OperatorError::NoMessage`] if no message of that key stands there,
    /// and [`OperatorError::NoStream`] if no node of this version was started in the
    /// namespace.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future may or may not record it; doing it again is harmless.
    pub async fn skip_message(
        &self,
        domain: &str,
        key: &str,
        sequence: u64,
        reason: impl Into<String>,
    ) -> Result<(), OperatorError> {
        let token = token(key)?;
        self.must_stand(domain, &token, sequence).await?;
        let skip = Skip {
            sequence,
            reason: reason.into(),
            by: self.source.clone(),
            at: Clock::system().unix_ms(),
        };
        self.change((domain, &token), |record| {
            record.skipped.retain(|known| known.sequence != sequence);
            record.skipped.push(skip.clone());
        })
        .await
        .map(drop)
    }

    /// Takes back that a message was left out of its entity; returns whether it was.
    ///
    /// # Errors
    ///
    /// Returns [`OperatorError`] if the record cannot be read or written.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future may or may not take it back; doing it again is harmless.
    pub async fn unskip_message(
        &self,
        domain: &str,
        key: &str,
        sequence: u64,
    ) -> Result<bool, OperatorError> {
        let token = token(key)?;
        let take_back =
            |record: &mut SkipRecord| record.skipped.retain(|known| known.sequence != sequence);
        self.change((domain, &token), take_back).await
    }

    /// Returns all messages that are left out of their entities.
    ///
    /// # Errors
    ///
    /// Returns [`OperatorError`] if the records cannot be read.
    ///
    /// # Cancel safety
    ///
    /// Safe: nothing is changed.
    pub async fn skipped_messages(&self) -> Result<Vec<SkippedMessage>, OperatorError> {
        let mut all = Vec::new();
        let config = StreamConfig::skipped(&self.namespace);
        let Some(stream) = self.stream(config).await? else {
            return Ok(all);
        };
        let mut records = stream.read(&self.namespace.all_skips(), 1).await?;
        while let Some(stored) = records.next().await? {
            let mut tokens = stored.subject.rsplit('.');
            let key = tokens.next().and_then(|key| Key::from_token(key).ok());
            let domain = tokens.next().unwrap_or_default().to_owned();
            let (Some(key), Ok(record)) = (key, codec::decode::<SkipRecord>(&stored.payload))
            else {
                continue;
            };
            all.extend(record.skipped.into_iter().map(|skip| SkippedMessage {
                domain: domain.clone(),
                key: key.decode(),
                sequence: skip.sequence,
                reason: skip.reason,
                by: skip.by,
                at: from_unix_ms(skip.at),
            }));
        }
        Ok(all)
    }

    /// Makes sure that a message of a key stands at a sequence. One that cannot be
    /// read by its stream's client is taken for one of this key.
    async fn must_stand(
        &self,
        domain: &str,
        key: &Key,
        sequence: u64,
    ) -> Result<(), OperatorError> {
        let none =
            || OperatorError::NoMessage { domain: domain.to_owned(), key: key.decode(), sequence };
        let mut events = self
            .events(domain, key.as_str(), sequence)
            .await?
            .ok_or_else(none)?;
        match events.next().await {
            Ok(Some(stored)) if stored.sequence == sequence => Ok(()),
            Err(error) => {
                tracing::warn!(domain, %key, sequence, %error, "the message cannot be read; it is skipped unseen");
                Ok(())
            }
            Ok(_) => Err(none()),
        }
    }

    /// Changes the record of a key and tells the nodes; returns whether that changed it.
    async fn change(
        &self,
        (domain, key): (&str, &Key),
        change: impl FnOnce(&mut SkipRecord),
    ) -> Result<bool, OperatorError> {
        let config = StreamConfig::skipped(&self.namespace);
        let name = config.name.clone();
        let stream = self.stream(config).await?;
        let stream = stream.ok_or(OperatorError::NoStream { stream: name })?;
        let subject = self.namespace.skip(domain, key.as_str());
        let last = stream.last(&subject).await?;
        let mut record: SkipRecord = match &last {
            Some(stored) => codec::decode(&stored.payload).map_err(unwritten)?,
            None => SkipRecord::default(),
        };
        let before = record.clone();
        change(&mut record);
        if record == before {
            return Ok(false);
        }
        let mut headers = Headers::with_capacity(2);
        headers.put(MSG_ID, Id::new().to_string());
        headers.put(CONTENT_TYPE, codec::MEDIA_TYPE);
        let payload = codec::encode(&record).map_err(unwritten)?;
        let message = Message::new(subject, payload).headers(headers);
        let expect = Expect::Last(last.map_or(0, |stored| stored.sequence));
        match stream.append(message, expect).await? {
            Append::Committed { .. } => {}
            Append::Conflict => return Err(OperatorError::Changed),
            Append::Unknown { reason } => return Err(OperatorError::Unknown { reason }),
        }
        let news = Message::new(self.namespace.skip_news(domain), Bytes::new());
        self.bus.send(news).await?;
        Ok(true)
    }
}

fn token(key: &str) -> Result<Key, OperatorError> {
    Key::new(key).map_err(unwritten)
}

fn unwritten(error: impl std::fmt::Display) -> OperatorError {
    OperatorError::Record { reason: error.to_string() }
}
