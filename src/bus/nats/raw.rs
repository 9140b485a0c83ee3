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

#[derive(Debug, Default, Serialize)]
struct Get<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_by_subj: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_by_subj: Option<&'a str>,
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
    /// Returns the message that was stored last on this stored subject or filter.
    pub(super) async fn last_stored(&self, filter: &str) -> Result<Option<Stored>, ApiError> {
        self.get(&Get { last_by_subj: Some(filter), ..Get::default() })
            .await
    }

    /// Returns the first message after a sequence on this stored subject.
    pub(super) async fn first_after(
        &self,
        subject: &str,
        sequence: u64,
    ) -> Result<Option<Stored>, ApiError> {
        let seq = Some(sequence.saturating_add(1));
        self.get(&Get { seq, next_by_subj: Some(subject), ..Get::default() })
            .await
    }

    async fn get(&self, get: &Get<'_>) -> Result<Option<Stored>, ApiError> {
        let subject = format!("STREAM.MSG.GET.{}", self.name());
        match self.link().ask::<Got>(subject, get).await {
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
        let (headers, payload) = block::read(&block, Bytes::from(payload));
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
        let stream = self.any(stream).await?;
        let get = Get { seq: Some(sequence), ..Get::default() };
        let found = stream.get(&get).await;
        found.map_err(|error| stream.unreadable(&error))
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
            Err(error) => Err(self.any(stream).await?.unreadable(&error)),
        }
    }

    /// Returns a handle to a stream that nobody declares here.
    async fn any(&self, stream: &str) -> Result<Stream, ReadError> {
        let config = StreamConfig::new(stream, [">".to_owned()]);
        let subjects = Subjects::new(&config);
        let handle = self.handle(&config, subjects).await;
        handle.map_err(|error| ReadError::Unavailable {
            stream: stream.into(),
            reason: error.to_string(),
        })
    }
}
