//! What a stream's answer to an append means.

use crate::bus::{AppendError, SendError};
use async_nats::jetstream::{
    self, ErrorCode,
    context::{PublishError, PublishErrorKind},
    publish::PublishAck,
};
use std::error::Error;

/// What one attempt to append said.
#[derive(Debug)]
pub(super) enum Verdict {
    /// The stream has it.
    Stored(PublishAck),
    /// Another message is the last on the subject, or is becoming it.
    Conflict,
    /// It is not stored; another attempt may succeed.
    NotNow(String),
    /// It may be stored or become so.
    Unknown(String),
    /// It is not stored, and will not be.
    Refused(Refusal),
}

/// Why a message will not be stored.
#[derive(Debug)]
pub(super) enum Refusal {
    NoStream,
    Full(String),
    TooLarge,
    Other(String),
}

/// Returns the server's code of a refusal.
pub(super) fn code(error: &PublishError) -> Option<ErrorCode> {
    refusal(error).map(jetstream::Error::error_code)
}

fn refusal(error: &PublishError) -> Option<&jetstream::Error> {
    error.source()?.downcast_ref()
}

impl Verdict {
    pub(super) fn of(answer: Result<PublishAck, PublishError>) -> Self {
        let error = match answer {
            Ok(ack) => return Self::Stored(ack),
            Err(error) => error,
        };
        if let Some(refused) = refusal(&error) {
            return Self::of_refusal(refused);
        }
        let text = error.to_string();
        match error.kind() {
            // No responders: no leader now, or no stream; both are asked for by the caller.
            PublishErrorKind::StreamNotFound | PublishErrorKind::MaxAckPending => {
                Self::NotNow(text)
            }
            PublishErrorKind::WrongLastSequence => Self::Conflict,
            PublishErrorKind::MaxPayloadExceeded => Self::Refused(Refusal::TooLarge),
            _ => Self::Unknown(text),
        }
    }

    /// Takes only the word of this stream: whoever listens on the subject may answer
    /// before it does.
    pub(super) fn by(self, stream: &str) -> Self {
        match self {
            Self::Stored(ack) if ack.stream != stream => Self::Unknown(format!(
                "`{}` confirmed it, which is not the stream {stream}",
                ack.stream.escape_debug()
            )),
            verdict => verdict,
        }
    }

    fn of_refusal(error: &jetstream::Error) -> Self {
        let text = error.to_string();
        Self::Refused(match error.error_code() {
            ErrorCode::STREAM_WRONG_LAST_SEQUENCE
            | ErrorCode::STREAM_WRONG_LAST_SEQUENCE_CONSTANT => return Self::Conflict,
            ErrorCode::STREAM_EXPECTED_LAST_SEQ_PER_SUBJECT_NOT_READY
            | ErrorCode::STREAM_DUPLICATE_MESSAGE_CONFLICT
            | ErrorCode::STREAM_TOO_MANY_REQUESTS => return Self::NotNow(text),
            ErrorCode::STREAM_NOT_FOUND => Refusal::NoStream,
            ErrorCode::STREAM_STORE_FAILED
            | ErrorCode::STORAGE_RESOURCES_EXCEEDED
            | ErrorCode::MEMORY_RESOURCES_EXCEEDED
            | ErrorCode::INSUFFICIENT_RESOURCES
            | ErrorCode::ACCOUNT_RESOURCES_EXCEEDED => Refusal::Full(text),
            ErrorCode::STREAM_MESSAGE_EXCEEDS_MAXIMUM
            | ErrorCode::STREAM_HEADER_EXCEEDS_MAXIMUM => Refusal::TooLarge,
            _ if error.code() == 503 => return Self::NotNow(text),
            _ => Refusal::Other(text),
        })
    }
}

impl Refusal {
    pub(super) fn error(self, stream: &str, subject: &str, sizes: (usize, usize)) -> AppendError {
        let stream = stream.to_owned();
        let subject = subject.to_owned();
        match self {
            Self::NoStream => AppendError::NoStream { stream },
            Self::Full(reason) => AppendError::Full { stream, reason },
            Self::TooLarge => {
                let (bytes, limit) = sizes;
                AppendError::Send(SendError::TooLarge { subject, bytes, limit })
            }
            Self::Other(reason) => AppendError::Refused { stream, subject, reason },
        }
    }
}
