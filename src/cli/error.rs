use super::{Exit, input::InputError};
use crate::{
    breaker::SetError,
    bus::{
        AppendError, ConnectError, OpenError, ReadError, RequestError, SendError, StreamError,
        SubscribeError,
    },
    call::{AskError, OperatorError},
    mesh::TableError,
    message::{HeaderError, Id, Status, Subject, codec::DecodeError},
    saga::SagaError,
};
use std::io;

/// Why a command did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum CommandError {
    #[error(transparent)]
    Input(#[from] InputError),
    #[error("{0}")]
    Usage(&'static str),
    #[error(transparent)]
    Header(#[from] HeaderError),
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error(transparent)]
    Stream(#[from] StreamError),
    #[error(transparent)]
    Append(#[from] AppendError),
    #[error(
        "it may be stored, the server did not confirm it: {reason}; publish it again with `--id {id}`"
    )]
    Unconfirmed { id: Id, reason: String },
    #[error(transparent)]
    Send(#[from] SendError),
    #[error("nobody answers {subject}; is a node with that group running in this namespace?")]
    NoResponders { subject: String },
    #[error("no reply from {subject} within {}; it may have been run", humantime::format_duration(*timeout))]
    Timeout {
        subject: String,
        timeout: std::time::Duration,
    },
    #[error(
        "the connection to the server ended before {subject} was answered; it may have been done"
    )]
    Lost { subject: String },
    #[error("{command} was rejected: {reason}\n{rejection}")]
    Rejected {
        command: Subject,
        reason: String,
        rejection: String,
    },
    #[error("{command} ended with {status}: {reason}")]
    Refused {
        command: Subject,
        status: Status,
        reason: String,
    },
    #[error("{command} was answered, but the answer {reason}")]
    Answer {
        command: Subject,
        reason: DecodeError,
    },
    #[error(transparent)]
    Subscribe(#[from] SubscribeError),
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("the connection is closed")]
    Closed,
    #[error("{0}")]
    NoNode(String),
    #[error("{0}")]
    NotFound(String),
    #[error(transparent)]
    Operator(#[from] OperatorError),
    #[error(transparent)]
    Saga(#[from] SagaError),
    #[error(transparent)]
    Table(TableError),
    #[error(transparent)]
    Policies(SetError),
    #[error(transparent)]
    Ask(#[from] AskError),
    #[error("{name}: {reason}")]
    File { name: String, reason: String },
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(
        "the store at {} is damaged: {count} faults; restore the directory from a copy, or see what \
         `sqlite3 callboard.sqlite .recover` saves",
        path.display()
    )]
    Unsound {
        path: std::path::PathBuf,
        count: usize,
    },
    #[error("interrupted")]
    Interrupted,
    #[error("standard output cannot be written: {0}")]
    Output(#[from] io::Error),
}

impl CommandError {
    pub(super) fn exit(&self) -> Exit {
        match self {
            Self::Input(_)
            | Self::Usage(_)
            | Self::Header(_)
            | Self::File { .. }
            | Self::Table(TableError::Refused { .. })
            | Self::Policies(SetError::Flawed(_) | SetError::NotTaken { .. })
            | Self::Saga(SagaError::Id(_))
            | Self::Open(OpenError::Missing { .. })
            | Self::Operator(OperatorError::Record { .. }) => Exit::Usage,
            Self::Rejected { .. } => Exit::Rejected,
            Self::NoResponders { .. }
            | Self::NoNode(_)
            | Self::Operator(
                OperatorError::Changed
                | OperatorError::NoStream { .. }
                | OperatorError::Draining { .. }
                | OperatorError::Asked { .. },
            )
            | Self::Open(OpenError::InUse { .. })
            | Self::Connect(ConnectError::Unreachable { .. })
            | Self::Refused {
                status: Status::Unavailable | Status::Limited | Status::StillRunning,
                ..
            } => Exit::Unavailable,
            Self::Timeout { .. }
            | Self::Lost { .. }
            | Self::Unconfirmed { .. }
            | Self::Saga(SagaError::Unknown { .. })
            | Self::Operator(OperatorError::Unknown { .. })
            | Self::Refused { status: Status::DeadlinePassed, .. } => Exit::Timeout,
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Done,
            _ => Exit::Failed,
        }
    }

    /// Whether waiting for the server may help.
    pub(super) const fn passes(&self) -> bool {
        matches!(
            self,
            Self::Stream(StreamError::Unavailable { .. })
                | Self::Read(ReadError::Unavailable { .. })
        )
    }
}

impl From<RequestError> for CommandError {
    fn from(error: RequestError) -> Self {
        match error {
            RequestError::NoResponders { subject } => Self::NoResponders { subject },
            RequestError::Timeout { subject, timeout } => Self::Timeout { subject, timeout },
            RequestError::Lost { subject } => Self::Lost { subject },
            RequestError::Send(error) => Self::Send(error),
        }
    }
}
