//! What a saga's journal says, transition by transition.

use super::Abort;
use crate::message::{Command, codec};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// One message of a journal: the transitions that became true together.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Page {
    pub(super) moves: Vec<Move>,
}

/// One transition.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Move {
    Started(Begin),
    /// The step may be taken from now on.
    Intended {
        step: String,
        act: Act,
        /// What undoes it whatever its outcome is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        undo: Option<Order>,
    },
    /// Attempts at a step, or at undoing it, came to nothing so far.
    Tried {
        step: String,
        /// How many there were, of all runners.
        attempts: u32,
        trouble: String,
        /// When the next is made, in Unix milliseconds.
        again: u64,
    },
    /// The step was taken; what undoes it is owed if the saga aborts.
    Done {
        step: String,
        reply: Bytes,
        undo: Option<Order>,
        attempts: u32,
    },
    /// The step was certainly not taken: the domain said no, or it could not be asked.
    Failed {
        step: String,
        rejection: Option<Bytes>,
        reason: String,
        attempts: u32,
    },
    /// From here on there is no way back.
    Pivoted,
    /// There is no way forward: all that was done is to be undone.
    Aborted {
        abort: Abort,
        /// What is to be said once all is undone.
        last: Option<Order>,
    },
    Undone {
        step: String,
        attempts: u32,
    },
    /// A person must look at it.
    Parked {
        reason: String,
    },
    /// The operator wants something.
    Told(Told),
    /// The operator says what came of a step.
    Settled {
        step: String,
        outcome: Settled,
        reason: String,
    },
    Ended(Ending),
}

/// What the operator says of a step whose outcome is not known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Settled {
    /// It was taken, with this reply.
    Done(Bytes),
    /// It was not, or is undone.
    NotDone,
}

/// What a saga begins with.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Begin {
    pub(super) input: Bytes,
    /// The id of the message that started it.
    pub(super) cause: Option<String>,
    pub(super) correlation: Option<String>,
    /// The trace that it belongs to: its parent and its state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) trace: Option<(String, Option<String>)>,
    /// When it is called off, in Unix milliseconds; its runner says that.
    pub(super) until: Option<u64>,
    /// Whether the steps of branches are named by their branch; its runner says that.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) branches: bool,
}

/// What a step is about to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Act {
    Call(Order),
    Send(Order),
    Publish {
        subject: String,
        payload: Bytes,
    },
    Sleep {
        until: u64,
    },
    Wait {
        subject: String,
        key: String,
        until: u64,
    },
}

impl Act {
    pub(super) const fn kind(&self) -> &'static str {
        match self {
            Self::Call(_) => "call",
            Self::Send(_) => "send",
            Self::Publish { .. } => "publish",
            Self::Sleep { .. } => "sleep",
            Self::Wait { .. } => "wait",
        }
    }

    /// Whether others may see that it was taken.
    pub(super) const fn has_effect(&self) -> bool {
        !matches!(self, Self::Sleep { .. } | Self::Wait { .. })
    }
}

impl Order {
    pub(super) fn of<C: Command>(command: &C) -> Result<Self, codec::EncodeError> {
        let payload = codec::encode(command)?;
        let (subject, key) = (C::SUBJECT.to_string(), command.key().into_owned());
        Ok(Self { subject, key, payload })
    }
}

/// A command, ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Order {
    pub(super) subject: String,
    /// By which routes choose who does it; empty if it has none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) key: String,
    pub(super) payload: Bytes,
}

/// What the operator wants of a saga.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Told {
    /// Go on, if you were parked.
    Retry,
    /// Undo what was done, if there is still a way back.
    Cancel,
    /// Undo what was done.
    Compensate,
}

/// How a saga ended.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Ending {
    Completed { reply: Bytes },
    Compensated { abort: Abort },
}

/// The largest page, in bytes: three payloads, so that every transition fits by
/// itself, and what servers take by default.
const MAX_PAGE: usize = 3 * codec::MAX_PAYLOAD;

/// Writes a page as it is read again, and for people the node that did.
pub(super) fn write(by: &str, moves: &[Move]) -> Result<Bytes, codec::EncodeError> {
    #[derive(Serialize)]
    struct Page<'a> {
        by: &'a str,
        moves: &'a [Move],
    }

    let page = codec::encode_large(&Page { by, moves })?;
    match page.len() {
        0..=MAX_PAGE => Ok(page),
        bytes => Err(codec::EncodeError::TooLarge { bytes }),
    }
}

impl Page {
    pub(super) fn read(payload: &[u8]) -> Result<Self, codec::DecodeError> {
        codec::decode_large(payload)
    }
}

impl Move {
    /// Whether it is about what comes next, and untrue if that is called off.
    pub(super) const fn is_ahead(&self) -> bool {
        matches!(
            self,
            Self::Intended { .. } | Self::Pivoted | Self::Ended(Ending::Completed { .. })
        )
    }

    /// Whether the operator says it, and the saga goes on with the same runner.
    pub(super) const fn is_operators(&self) -> bool {
        matches!(self, Self::Told(_) | Self::Settled { .. })
    }

    /// Returns its name, for people and headers.
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Started(_) => "started",
            Self::Intended { .. } => "intended",
            Self::Tried { .. } => "tried",
            Self::Done { .. } => "done",
            Self::Failed { .. } => "failed",
            Self::Pivoted => "pivoted",
            Self::Aborted { .. } => "aborted",
            Self::Undone { .. } => "undone",
            Self::Parked { .. } => "parked",
            Self::Told(_) => "told",
            Self::Settled { .. } => "settled",
            Self::Ended(_) => "ended",
        }
    }
}
