use crate::{
    bus::{AppendError, CancelError, ReadError, RequestError, SendError, StreamError},
    message::{HeaderError, Id, KeyError, Status, Subject},
    policy::again,
};
use std::time::Duration;

/// Why a command got no reply.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallError<R> {
    /// The domain says no.
    #[error("{0}")]
    Rejected(R),
    /// No group answers this domain now; known at once.
    #[error("nobody answers {subject}; is a node with its group running in this namespace?")]
    NoResponders {
        /// The command.
        subject: Subject,
    },
    /// No reply came in time; the command may have been run.
    #[error("no reply from {subject} within {timeout:?}")]
    Timeout {
        /// The command.
        subject: Subject,
        /// How long was waited.
        timeout: Duration,
    },
    /// The connection ended after the command was handed over and before a reply came; the
    /// command may have been run.
    #[error("the connection ended before {subject} was answered; it may have been run")]
    Lost {
        /// The command.
        subject: Subject,
    },
    /// The deadline had passed before the command was run; it was not.
    #[error("the deadline of {subject} passed before it was run")]
    DeadlinePassed {
        /// The command.
        subject: Subject,
    },
    /// The callee takes no more now; the command was not run.
    #[error("{subject} is not available: {reason}")]
    Unavailable {
        /// The command.
        subject: Subject,
        /// What the callee said.
        reason: String,
        /// After how long it is worth trying again, if the callee said so.
        retry_after: Option<Duration>,
    },
    /// The breaker of the command's policy is open: the callee was not asked.
    #[error("{subject} is not available: {}{}", shut(*is_forced, breaker), again(*retry_after))]
    Broken {
        /// The command.
        subject: Subject,
        /// The breaker's name: the command's, or its domain's.
        breaker: &'static str,
        /// After how long it is worth trying again; nothing while probes are under
        /// way, or an operator keeps it open.
        retry_after: Option<Duration>,
        /// Whether an operator keeps it open.
        is_forced: bool,
    },
    /// Too many calls were made in a time; the command was not run.
    #[error("too many calls of {subject}: {reason}{}", again(*reset))]
    Limited {
        /// The command.
        subject: Subject,
        /// Whose limit it is, and which.
        reason: String,
        /// How many more may be made now.
        remaining: u32,
        /// After how long one may be made again, if that is known.
        reset: Option<Duration>,
    },
    /// The callee could not be asked, and the command is stored as a job, to be
    /// done later: its policy falls back on that.
    #[error("{subject} is put off, and will be done as the job {id}: {reason}")]
    PutOff {
        /// The command.
        subject: Subject,
        /// The job's id, which is the command's.
        id: Id,
        /// What stood in the way.
        reason: String,
    },
    /// What the command asks for goes on, and its outcome is not there yet: the saga
    /// that answers it still runs. The same command, asked again with the same key, gets
    /// the outcome.
    #[error("{subject} goes on: {reason}")]
    StillRunning {
        /// The command.
        subject: Subject,
        /// What the callee said.
        reason: String,
        /// After how long it is worth asking again.
        retry_after: Option<Duration>,
    },
    /// The callee could not be asked, and whether the command is stored as a job is
    /// not known: it may be done later. Calling it again with the same id is harmless.
    #[error(
        "whether {subject} is put off as the job {id} is not known, it may be done later: {reason}; call it again with the same id"
    )]
    MaybePutOff {
        /// The command.
        subject: Subject,
        /// The job's id, which is the command's.
        id: Id,
        /// What stood in the way, of the call and of the job.
        reason: String,
    },
    /// The callee failed while it ran the command.
    #[error("{subject} failed: {reason}")]
    Failed {
        /// The command.
        subject: Subject,
        /// What the callee said.
        reason: String,
    },
    /// The callee refused the command for another reason.
    #[error("{subject} was refused with {status}: {reason}")]
    Refused {
        /// The command.
        subject: Subject,
        /// The kind of refusal.
        status: Status,
        /// What the callee said.
        reason: String,
    },
    /// The command could not be encoded, or its answer could not be decoded.
    #[error("{subject} {reason}")]
    Codec {
        /// The command.
        subject: Subject,
        /// What is wrong with which payload.
        reason: String,
    },
    /// A header of the call cannot be sent; the callee was not asked.
    #[error("{subject} cannot be called: {reason}")]
    Header {
        /// The command.
        subject: Subject,
        /// Which header, and why.
        reason: HeaderError,
    },
    /// It could not be sent.
    #[error(transparent)]
    Send(#[from] SendError),
}

impl<R> CallError<R> {
    /// Returns what the callee's status means to the caller.
    pub(crate) fn of(
        subject: Subject,
        status: Status,
        reason: String,
        again: Option<Duration>,
    ) -> Self {
        match status {
            Status::DeadlinePassed => Self::DeadlinePassed { subject },
            Status::Unavailable => Self::Unavailable { subject, reason, retry_after: again },
            Status::Limited => Self::Limited { subject, reason, remaining: 0, reset: again },
            Status::Failed => Self::Failed { subject, reason },
            Status::StillRunning => Self::StillRunning { subject, reason, retry_after: again },
            status => Self::Refused { subject, status, reason },
        }
    }

    pub(super) fn of_request(subject: Subject, error: RequestError) -> Self {
        match error {
            RequestError::NoResponders { .. } => Self::NoResponders { subject },
            RequestError::Timeout { timeout, .. } => Self::Timeout { subject, timeout },
            RequestError::Lost { .. } => Self::Lost { subject },
            RequestError::Send(error) => Self::Send(error),
        }
    }

    /// Separates the domain's "no" from trouble.
    ///
    /// # Errors
    ///
    /// Returns the error if it is anything but a rejection.
    pub(super) fn rejection<Q>(self) -> Result<R, CallError<Q>> {
        Err(match self {
            Self::Rejected(rejection) => return Ok(rejection),
            Self::NoResponders { subject } => CallError::NoResponders { subject },
            Self::Timeout { subject, timeout } => CallError::Timeout { subject, timeout },
            Self::Lost { subject } => CallError::Lost { subject },
            Self::DeadlinePassed { subject } => CallError::DeadlinePassed { subject },
            Self::Unavailable { subject, reason, retry_after } => {
                CallError::Unavailable { subject, reason, retry_after }
            }
            Self::Broken { subject, breaker, retry_after, is_forced } => {
                CallError::Broken { subject, breaker, retry_after, is_forced }
            }
            Self::Limited { subject, reason, remaining, reset } => {
                CallError::Limited { subject, reason, remaining, reset }
            }
            Self::PutOff { subject, id, reason } => CallError::PutOff { subject, id, reason },
            Self::StillRunning { subject, reason, retry_after } => {
                CallError::StillRunning { subject, reason, retry_after }
            }
            Self::MaybePutOff { subject, id, reason } => {
                CallError::MaybePutOff { subject, id, reason }
            }
            Self::Failed { subject, reason } => CallError::Failed { subject, reason },
            Self::Refused { subject, status, reason } => {
                CallError::Refused { subject, status, reason }
            }
            Self::Codec { subject, reason } => CallError::Codec { subject, reason },
            Self::Header { subject, reason } => CallError::Header { subject, reason },
            Self::Send(error) => CallError::Send(error),
        })
    }

    /// Returns the outcome's name for metrics.
    pub(super) const fn label(&self) -> &'static str {
        match self {
            Self::Rejected(_) => "rejected",
            Self::NoResponders { .. } => "no_responders",
            Self::Timeout { .. } => "timeout",
            Self::Lost { .. } => "lost",
            Self::DeadlinePassed { .. } => "deadline_passed",
            Self::Unavailable { .. } => "unavailable",
            Self::Broken { .. } => "broken",
            Self::Limited { .. } => "limited",
            Self::PutOff { .. } => "put_off",
            Self::StillRunning { .. } => "still_running",
            Self::MaybePutOff { .. } => "maybe_put_off",
            Self::Failed { .. } => "failed",
            Self::Refused { .. } => "refused",
            Self::Codec { .. } => "codec",
            Self::Header { .. } => "invalid",
            Self::Send(_) => "send",
        }
    }
}

/// Says why a breaker is open.
fn shut(is_forced: bool, breaker: &str) -> String {
    if is_forced {
        return format!(
            "an operator forced its breaker open, until `callboard breakers force {breaker} auto`"
        );
    }
    "its breaker is open".to_owned()
}

/// Why a one-way command was not handed over.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TellError {
    /// The actor's mailbox is full, or it is stopping.
    #[error("{subject} is not available: {reason}")]
    Unavailable {
        /// The command.
        subject: Subject,
        /// Why it takes no more.
        reason: String,
    },
    /// The command could not be encoded.
    #[error("{subject} {reason}")]
    Codec {
        /// The command.
        subject: Subject,
        /// What is wrong with it.
        reason: String,
    },
    /// It could not be sent.
    #[error(transparent)]
    Send(#[from] SendError),
}

/// Why an event was not published.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// The key cannot be a subject token.
    #[error("{subject} cannot be published: {reason}")]
    Key {
        /// The event's type.
        subject: Subject,
        /// What is wrong with the key.
        reason: KeyError,
    },
    /// A header's value cannot be sent.
    #[error("{subject} cannot be published: {reason}")]
    Header {
        /// The event's type.
        subject: Subject,
        /// Which header, and why.
        reason: HeaderError,
    },
    /// The event could not be encoded.
    #[error("{subject} {reason}")]
    Codec {
        /// The event's type.
        subject: Subject,
        /// What is wrong with it.
        reason: String,
    },
    /// The stream of the domain's events cannot be used.
    #[error("{subject} cannot be published: {reason}")]
    Stream {
        /// The event's type.
        subject: Subject,
        /// What is wrong with the stream.
        reason: StreamError,
    },
    /// The stream refused the event; it is not stored.
    #[error("{subject} was refused: {reason}")]
    Refused {
        /// The event's type.
        subject: Subject,
        /// Why.
        reason: AppendError,
    },
    /// The entity's last event is not the expected one; it is not stored.
    #[error("{subject} was not published: the last event of its key is not the expected one")]
    Conflict {
        /// The event's type.
        subject: Subject,
    },
    /// The bus did not confirm in time; the event may be stored. Publishing it
    /// again with the same id is harmless.
    #[error(
        "the bus did not confirm {subject} with id {id}, it may be stored: {reason}; publish it again with the same id"
    )]
    Unknown {
        /// The event's type.
        subject: Subject,
        /// The event's id.
        id: Id,
        /// What stood in the way.
        reason: String,
    },
}

impl PublishError {
    /// Returns the outcome's name for metrics.
    pub(super) const fn label(&self) -> &'static str {
        match self {
            Self::Key { .. } | Self::Header { .. } | Self::Codec { .. } => "invalid",
            Self::Stream { .. } => "no_stream",
            Self::Refused { .. } => "refused",
            Self::Conflict { .. } => "conflict",
            Self::Unknown { .. } => "unknown",
        }
    }
}

/// Why a command was not sent as a job, or one that waits not cancelled.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JobError {
    /// The key cannot be a subject token.
    #[error("{subject} cannot be sent: {reason}")]
    Key {
        /// The command.
        subject: Subject,
        /// What is wrong with the key.
        reason: KeyError,
    },
    /// The name cannot be a subject token.
    #[error("{subject} cannot wait under this name: {reason}")]
    Name {
        /// The command.
        subject: Subject,
        /// What is wrong with the name.
        reason: KeyError,
    },
    /// A header's value cannot be sent.
    #[error("{subject} cannot be sent: {reason}")]
    Header {
        /// The command.
        subject: Subject,
        /// Which header, and why.
        reason: HeaderError,
    },
    /// The command could not be encoded.
    #[error("{subject} {reason}")]
    Codec {
        /// The command.
        subject: Subject,
        /// What is wrong with it.
        reason: String,
    },
    /// The stream of the domain's jobs cannot be used.
    #[error("{subject} cannot be sent: {reason}")]
    Stream {
        /// The command.
        subject: Subject,
        /// What is wrong with the stream.
        reason: StreamError,
    },
    /// The stream refused the job; it is not stored.
    #[error("{subject} was refused: {reason}")]
    Refused {
        /// The command.
        subject: Subject,
        /// Why.
        reason: AppendError,
    },
    /// What waits under the job's name cannot be read; nothing was stored.
    #[error("{subject} cannot be sent: {reason}")]
    Unreadable {
        /// The command.
        subject: Subject,
        /// Why.
        reason: ReadError,
    },
    /// Others store jobs under the same name all the time; this one is not stored.
    #[error("{subject} was not sent: others replace the job of this name at the same time")]
    Contended {
        /// The command.
        subject: Subject,
    },
    /// The job could not be cancelled.
    #[error("{subject} was not cancelled: {reason}")]
    Cancel {
        /// The command.
        subject: Subject,
        /// Why.
        reason: CancelError,
    },
    /// The bus did not confirm in time; the job may be stored. Sending it
    /// again with the same id is harmless.
    #[error(
        "the bus did not confirm {subject} with id {id}, it may be stored: {reason}; send it again with the same id"
    )]
    Unknown {
        /// The command.
        subject: Subject,
        /// The job's id.
        id: Id,
        /// What stood in the way.
        reason: String,
    },
}

impl JobError {
    /// Returns the outcome's name for metrics.
    pub(super) const fn label(&self) -> &'static str {
        match self {
            Self::Key { .. } | Self::Name { .. } | Self::Header { .. } | Self::Codec { .. } => {
                "invalid"
            }
            Self::Stream { .. } | Self::Unreadable { .. } => "no_stream",
            Self::Contended { .. } => "conflict",
            Self::Refused { .. } | Self::Cancel { .. } => "refused",
            Self::Unknown { .. } => "unknown",
        }
    }
}
