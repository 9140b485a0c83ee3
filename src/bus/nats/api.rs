//! Requests to the server's stream API.

use super::link::{Link, backoff};
use async_nats::jetstream::{self, context::RequestErrorKind, response::Response};
use serde::{Serialize, de::DeserializeOwned};
use std::{fmt, time::Duration};
use tokio::time::{Instant, sleep, timeout};

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
                // The client died over something else, and with it what it was asked.
                _ if !self.is_connected() => ApiError::Away(error.to_string()),
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
