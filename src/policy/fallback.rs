use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What a caller gets when its call cannot be answered now, if it asks for it or the
/// policy [serves](Serve) it to all.
///
/// A rejection is an answer, and nothing falls back on what the caller did
/// wrong.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fallback {
    /// This reply; in a file `{ value = { price = 0 } }`.
    Value(serde_json::Value),
    /// The last reply to the same command, however old; the command's
    /// [cache](super::Cache) keeps it, or one of the usual size.
    LastReply,
    /// An error that says that the command is stored as a job, to be done when
    /// the target is back, unless it may have been run and is not
    /// [idempotent](super::Policy::idempotent).
    Job,
}

/// Who gets a reply that is not the callee's own of now, where the callee cannot answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Serve {
    /// Only a caller that asks for it by [`Call::graded`](crate::Call::graded); any other
    /// gets the error.
    #[default]
    Fresh,
    /// Any caller: awaiting the call returns it as it returns the callee's own reply.
    Degraded,
}

impl Serve {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
    pub(super) const fn is_fresh(&self) -> bool {
        matches!(self, Self::Fresh)
    }
}

/// A reply, and how good it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Graded<T> {
    /// The reply.
    pub reply: T,
    /// Where it comes from.
    pub grade: Grade,
}

/// How good a reply is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Grade {
    /// The callee gave it now.
    Fresh,
    /// The callee gave it before, and it is not old.
    Cached,
    /// The callee cannot be reached: it is an old reply.
    Old {
        /// How long ago the callee gave it.
        age: Duration,
    },
    /// The callee cannot be reached: it is what the policy says.
    Substitute,
}

impl Grade {
    /// Returns whether the callee should have answered and could not.
    pub const fn is_degraded(self) -> bool {
        matches!(self, Self::Old { .. } | Self::Substitute)
    }
}
