//! What the ends of calls mean to those who decide about other attempts.

use super::CallError;
use crate::{bus::SendError, message::Status};
use std::time::Duration;

/// What another attempt at a call would mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Again {
    /// It is worth it: the command was not run.
    Safe,
    /// The command may have been run: it is fine if the callee knows its id.
    Unsure,
    /// It would end the same way.
    Futile,
}

impl<R> CallError<R> {
    /// Returns the status that says as much, or nothing if the callee has no part in
    /// it.
    pub const fn status(&self) -> Option<Status> {
        Some(match self {
            Self::Rejected(_) => Status::Rejected,
            Self::Timeout { .. } | Self::DeadlinePassed { .. } => Status::DeadlinePassed,
            Self::NoResponders { .. } | Self::Unavailable { .. } | Self::Broken { .. } => {
                Status::Unavailable
            }
            Self::Limited { .. } => Status::Limited,
            Self::StillRunning { .. } => Status::StillRunning,
            Self::Failed { .. } => Status::Failed,
            Self::Refused { status, .. } => *status,
            Self::PutOff { .. }
            | Self::MaybePutOff { .. }
            | Self::Codec { .. }
            | Self::Header { .. }
            | Self::Lost { .. }
            | Self::Send(_) => return None,
        })
    }

    /// Returns after how long it is worth trying again, if that is known.
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Broken { retry_after, .. }
            | Self::Unavailable { retry_after, .. }
            | Self::StillRunning { retry_after, .. } => *retry_after,
            Self::Limited { reset, .. } => *reset,
            _ => None,
        }
    }

    /// Returns whether the command was certainly not run.
    pub const fn certainly_not_run(&self) -> bool {
        match self {
            Self::NoResponders { .. }
            | Self::DeadlinePassed { .. }
            | Self::Unavailable { .. }
            | Self::Broken { .. }
            | Self::Limited { .. }
            | Self::Header { .. }
            | Self::Send(_) => true,
            Self::Refused { status, .. } => status.code() < 500,
            _ => false,
        }
    }

    /// Returns what another attempt would mean.
    pub(super) const fn again(&self) -> Again {
        match self {
            Self::NoResponders { .. }
            | Self::DeadlinePassed { .. }
            | Self::Unavailable { .. }
            | Self::Limited { .. }
            | Self::Send(SendError::Disconnected { .. }) => Again::Safe,
            Self::Timeout { .. } | Self::Lost { .. } | Self::Failed { .. } => Again::Unsure,
            Self::Refused { status, .. } if status.code() >= 500 => Again::Unsure,
            _ => Again::Futile,
        }
    }

    /// Whether the callee could not answer, by no fault of the caller's.
    pub(super) const fn is_trouble(&self) -> bool {
        matches!(self, Self::Broken { .. }) || !matches!(self.again(), Again::Futile)
    }
}
