//! Single messages of a stream, read as bytes: whatever stands there, the connection holds.

use super::{api::ApiError, block, link::Link, streams::Stream, subjects::Subjects};
use crate::{
    bus::{ReadError, Stored, StreamConfig},
    message::timestamp,
};
use async_nats::jetstream::ErrorCode;
use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::time::SystemTime;

/// Which message of a stream is asked for.
#[derive(Debug, Default, Serialize)]
pub(super) struct Get<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_by_subj: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_by_subj: Option<&'a str>,
}

impl<'a> Get<'a> {
    /// Asks for the message that was stored last on this stored subject or filter.
    pub(super) fn last_of(filter: &'a str) -> Self {
        Self { last_by_subj: Some(filter), ..Self::default() }
    }

    /// Asks for the first message after a sequence on this stored subject or filter.
    pub(super) fn after(filter: &'a str, sequence: u64) -> Self {
        let seq = Some(sequence.saturating_add(1));
        Self { seq, next_by_subj: Some(filter), ..Self::default() }
    }
}

#[derive(Debug, Deserialize)]
struct Got {
    message: Raw,
}

/// A message as the server's API tells it.
#[derive(Debug, Deserialize)]
struct Raw {
    subject: String,
    seq: u64,
    #[serde(default)]
    hdrs: String,
    #[serde(default)]
    data: String,
    time: String,
}

impl Stream {
    /// Asks for one message, once.
    pub(super) async fn get(&self, get: &Get<'_>) -> Result<Option<Stored>, ApiError> {
        let asked = self.link().ask::<Got>(self.getter(), get).await;
        self.found(asked)
    }

    /// Asks for one message, again while nobody answers, for up to 10 s.
    pub(super) async fn get_patiently(&self, get: &Get<'_>) -> Result<Option<Stored>, ReadError> {
        let asked = self.link().ask_patiently::<Got>(&self.getter(), get).await;
        self.found(asked).map_err(|error| self.unreadable(&error))
    }

    fn getter(&self) -> String {
        format!("STREAM.MSG.GET.{}", self.name())
    }

    fn found(&self, asked: Result<Got, ApiError>) -> Result<Option<Stored>, ApiError> {
        match asked {
            Ok(got) => self.told(&got.message).map(Some),
            Err(ApiError::Refused(error)) if error.error_code() == ErrorCode::NO_MESSAGE_FOUND => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn told(&self, raw: &Raw) -> Result<Stored, ApiError> {
        let odd = |what: &str| ApiError::Odd(format!("message {} has {what}", raw.seq));
        let bytes = |text: &str, what| BASE64_STANDARD.decode(text).map_err(|_| odd(what));
        let block = bytes(&raw.hdrs, "headers that are no Base64")?;
        let payload = bytes(&raw.data, "a payload that is no Base64")?;
        let time = timestamp::read(&raw.time).unwrap_or(SystemTime::UNIX_EPOCH);
        let tell = |fault| self.link().events().unreadable(&raw.subject, fault);
        let (headers, payload) = block::read(&block, Bytes::from(payload), tell);
        Ok(Stored {
            subject: self.subjects().published(&raw.subject),
            headers,
            payload,
            sequence: raw.seq,
            time,
        })
    }
}

#[derive(Debug, Serialize)]
struct Delete {
    seq: u64,
}

#[derive(Debug, Deserialize)]
struct Deleted {
    success: bool,
}

impl Link {
    /// Returns the message of a sequence, on the subject under which it is stored.
    pub(in crate::bus) async fn message(
        &self,
        stream: &str,
        sequence: u64,
    ) -> Result<Option<Stored>, ReadError> {
        let get = Get { seq: Some(sequence), ..Get::default() };
        self.any(stream).get_patiently(&get).await
    }

    /// Deletes the message of a sequence; says whether it was there.
    pub(in crate::bus) async fn delete(
        &self,
        stream: &str,
        sequence: u64,
    ) -> Result<bool, ReadError> {
        let subject = format!("STREAM.MSG.DELETE.{stream}");
        match self
            .ask_patiently::<Deleted>(&subject, &Delete { seq: sequence })
            .await
        {
            Ok(deleted) => Ok(deleted.success),
            Err(ApiError::Refused(error))
                if matches!(
                    error.error_code(),
                    ErrorCode::NO_MESSAGE_FOUND | ErrorCode::SEQUENCE_NOT_FOUND
                ) =>
            {
                Ok(false)
            }
            Err(error) => Err(self.any(stream).unreadable(&error)),
        }
    }

    /// Returns a handle to a stream that nobody declares here.
    fn any(&self, stream: &str) -> Stream {
        let config = StreamConfig::new(stream, [">".to_owned()]);
        self.handle(&config, Subjects::new(&config))
    }
}
