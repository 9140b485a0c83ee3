//! Requests to the server's stream API.

use super::link::{Link, backoff};
use async_nats::jetstream::{
    self,
    context::{RequestError, RequestErrorKind},
    message::StreamMessage,
    response::Response,
    stream::{RawMessageError, RawMessageErrorKind},
};
use serde::{Serialize, de::DeserializeOwned};
use std::{error::Error, fmt, time::Duration};
use tokio::time::{Instant, error::Elapsed, sleep, timeout};

/// How long a request is repeated while nobody answers it.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// The body of a request that asks for no more than its subject says.
#[derive(Serialize)]
pub(super) struct Nothing {}

/// Why the API gave no result.
#[derive(Debug)]
pub(super) enum ApiError {
    /// The server refused.
    Refused(jetstream::Error),
    /// Nobody answered: no connection, an election, a restart.
    Away(String),
    /// The answer cannot be read.
    Odd(String),
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(error) => error.fmt(f),
            Self::Away(reason) | Self::Odd(reason) => f.write_str(reason),
        }
    }
}

impl Link {
    /// Asks once.
    pub(super) async fn ask<R: DeserializeOwned>(
        &self,
        subject: String,
        body: &impl Serialize,
    ) -> Result<R, ApiError> {
        if !self.is_connected() {
            return Err(ApiError::Away("no connection".into()));
        }
        // The client waits without limit for room in its buffer.
        let answer = timeout(PATIENCE, self.api().request(subject, body)).await;
        match answer {
            Err(_) => Err(ApiError::Away("no answer".into())),
            Ok(Ok(Response::Ok(found))) => Ok(found),
            Ok(Ok(Response::Err { error })) if is_passing(&error) => {
                Err(ApiError::Away(error.to_string()))
            }
            Ok(Ok(Response::Err { error })) => Err(ApiError::Refused(error)),
            Ok(Err(error)) => Err(match error.kind() {
                RequestErrorKind::NoResponders | RequestErrorKind::TimedOut => {
                    ApiError::Away(error.to_string())
                }
                _ => ApiError::Odd(error.to_string()),
            }),
        }
    }

    /// Asks again while nobody answers, for up to 10 s.
    pub(super) async fn ask_patiently<R: DeserializeOwned>(
        &self,
        subject: &str,
        body: &impl Serialize,
    ) -> Result<R, ApiError> {
        let deadline = Instant::now() + PATIENCE;
        let mut failures = 0;
        loop {
            let reason = match self.ask(subject.to_owned(), body).await {
                Err(ApiError::Away(reason)) => reason,
                settled => return settled,
            };
            if !self.pause(failures, deadline).await {
                return Err(ApiError::Away(reason));
            }
            failures += 1;
        }
    }

    /// Waits for the next attempt; says whether there shall be one.
    pub(super) async fn pause(&self, failures: u32, deadline: Instant) -> bool {
        let wait = backoff(failures);
        if self.is_closed() || Instant::now() + wait >= deadline {
            return false;
        }
        sleep(wait).await;
        self.connected_by(deadline).await
    }
}

/// Reads the answer to a request for one message.
pub(super) fn found(
    answer: Result<Result<StreamMessage, RawMessageError>, Elapsed>,
) -> Result<Option<StreamMessage>, ApiError> {
    let error = match answer {
        Ok(Ok(message)) => return Ok(Some(message)),
        Ok(Err(error)) => error,
        Err(_) => return Err(ApiError::Away("no answer".into())),
    };
    Err(match error.kind() {
        RawMessageErrorKind::NoMessageFound => return Ok(None),
        RawMessageErrorKind::JetStream(error) if is_passing(&error) => {
            ApiError::Away(error.to_string())
        }
        RawMessageErrorKind::JetStream(error) => ApiError::Refused(error),
        _ if is_silence(&error) => ApiError::Away(error.to_string()),
        _ => ApiError::Odd(error.to_string()),
    })
}

/// Whether an error says no more than that nobody answered.
fn is_silence(error: &RawMessageError) -> bool {
    let cause = error
        .source()
        .and_then(|cause| cause.downcast_ref::<RequestError>());
    cause.is_some_and(|cause| {
        matches!(
            cause.kind(),
            RequestErrorKind::NoResponders | RequestErrorKind::TimedOut
        )
    })
}

/// Whether the server cannot say now but may be able to soon.
fn is_passing(error: &jetstream::Error) -> bool {
    error.code() == 503
        && !matches!(
            error.error_code(),
            jetstream::ErrorCode::JETSTREAM_NOT_ENABLED
                | jetstream::ErrorCode::JETSTREAM_NOT_ENABLED_FOR_ACCOUNT
                | jetstream::ErrorCode::STREAM_STORE_FAILED
        )
}
