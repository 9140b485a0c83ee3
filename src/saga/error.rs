use super::{SagaState, errand::ErrandError};
use crate::{
    bus::StreamError,
    error::Failure,
    message::{KeyError, codec},
};

/// Why a saga could not be started, looked at, or told what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SagaError {
    /// The id cannot be a subject token.
    #[error("this cannot be a saga's id: {0}")]
    Id(#[from] KeyError),
    /// What it begins with cannot be encoded.
    #[error("what the saga begins with {0}")]
    Encode(#[from] codec::EncodeError),
    /// What it ended with is not of the type that was asked for.
    #[error("what the saga ended with {0}")]
    Decode(#[from] codec::DecodeError),
    /// The saga's streams cannot be used.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// A journal cannot be read or written.
    #[error("{reason}")]
    Journal {
        /// What is wrong.
        reason: String,
    },
    /// No saga of this id began.
    #[error("no saga `{id}` of `{saga}` began; is it spelt so, and does a runner run?")]
    NotFound {
        /// The saga's name.
        saga: String,
        /// The id.
        id: String,
    },
    /// It is over: nothing can be changed.
    #[error("the saga `{id}` is {state}: nothing can be changed")]
    Over {
        /// The id.
        id: String,
        /// How it ended.
        state: SagaState,
    },
    /// It is past its pivot.
    #[error("the saga `{id}` is past its pivot; `compensate` undoes it all the same")]
    Pivoted {
        /// The id.
        id: String,
    },
    /// The outcome of a step is known, or there is no such step.
    #[error(
        "the outcome of `{step}` of the saga `{id}` is not open; {}",
        opened(open)
    )]
    NotOpen {
        /// The id.
        id: String,
        /// The step.
        step: String,
        /// The steps of which this may be said.
        open: Vec<String>,
    },
    /// The bus did not confirm; doing it again is harmless.
    #[error("whether it was stored is not known: {reason}; do it again")]
    Unknown {
        /// What stood in the way.
        reason: String,
    },
}

fn opened(open: &[String]) -> String {
    if open.is_empty() {
        return "no step of it is".to_owned();
    }
    let open: Vec<_> = open.iter().map(|step| format!("`{step}`")).collect();
    format!("open: {}", open.join(", "))
}

impl From<Failure> for SagaError {
    fn from(failure: Failure) -> Self {
        Self::Journal { reason: failure.to_string() }
    }
}

impl From<ErrandError> for SagaError {
    fn from(error: ErrandError) -> Self {
        match error {
            ErrandError::Codec(error) => Self::Encode(error),
            ErrandError::Append(error) => Self::Journal { reason: error.to_string() },
            ErrandError::Unknown(reason) => Self::Unknown { reason },
        }
    }
}
