//! One error for each thing one can ask of a bus.

use std::{path::PathBuf, time::Duration};

/// Why there is no connection to a server.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// No server answers at this address.
    #[error(
        "no NATS server can be reached at {url}: {reason}; start one there, or give another address"
    )]
    Unreachable {
        /// Where it was looked for.
        url: String,
        /// What the connection attempt said.
        reason: String,
    },
    /// The server refuses the credentials, or wants some.
    #[error("the NATS server at {url} refuses these credentials: {reason}")]
    Unauthorized {
        /// The server's address.
        url: String,
        /// What the server said.
        reason: String,
    },
    /// The server is too old.
    #[error(
        "the NATS server at {url} is {found}; {needed} or newer is needed: older ones ignore stream options silently"
    )]
    TooOld {
        /// The server's address.
        url: String,
        /// Its version.
        found: String,
        /// The oldest that will do.
        needed: &'static str,
    },
    /// JetStream is off, or off for this account.
    #[error(
        "the NATS server at {url} offers no JetStream: {reason}; start it with `-js`, or enable it for the account"
    )]
    NoStreams {
        /// The server's address.
        url: String,
        /// What the server said.
        reason: String,
    },
    /// The address or the credentials file cannot be read.
    #[error("the NATS address or credentials cannot be used: {reason}")]
    Options {
        /// What is wrong.
        reason: String,
    },
}

/// Why the embedded bus cannot use its store.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another bus has it open, in this process or another.
    #[error(
        "the store at {} is in use{}; end what uses it, or give this one a directory of its own",
        path.display(),
        holder.map(|id| format!(" by process {id}")).unwrap_or_default()
    )]
    InUse {
        /// The directory.
        path: PathBuf,
        /// The process that has it open, if it could be told.
        holder: Option<u32>,
    },
    /// What is there cannot be made sense of.
    #[error(
        "the store's file {} cannot be used: {reason}; restore the directory from a copy, or move it \
         away to start with nothing; `callboard store check` says more",
        path.display()
    )]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// There is no store in the directory.
    #[error(
        "there is no store at {}; name the directory that a bus was opened with. A store from \
         before it was a database, the files `log` and `state`, is taken over when a bus is opened there",
        path.display()
    )]
    Missing {
        /// The directory.
        path: PathBuf,
    },
    /// The operating system refuses to read or write it.
    #[error("the store at {} cannot be opened: {reason}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the operating system said.
        reason: String,
    },
}

/// Why a message was not sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The subject has an empty token, a wildcard or white space.
    #[error("`{}` is not a subject to publish on", subject.escape_debug())]
    Subject {
        /// The subject.
        subject: String,
    },
    /// The message is larger than the carrier takes.
    #[error("a message of {bytes} bytes on {subject} is refused: the carrier takes {limit}")]
    TooLarge {
        /// The subject.
        subject: String,
        /// The size of headers and payload.
        bytes: usize,
        /// The carrier's limit.
        limit: usize,
    },
    /// The server does not permit it; nobody got the message.
    #[error(
        "the server refuses messages on {subject}: {reason}; permit this user to publish there"
    )]
    Refused {
        /// The subject.
        subject: String,
        /// What the server said.
        reason: String,
    },
    /// There is no connection now; it is being made again.
    #[error("no connection to the server for {subject}; it is being made again")]
    Disconnected {
        /// The subject.
        subject: String,
    },
}

/// Why a request got no reply.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// Nobody listens there; known at once.
    #[error("nobody answers {subject}")]
    NoResponders {
        /// The subject.
        subject: String,
    },
    /// No reply came in time.
    #[error("no reply from {subject} within {timeout:?}")]
    Timeout {
        /// The subject.
        subject: String,
        /// How long was waited.
        timeout: Duration,
    },
    /// The connection ended after the request was handed over and before a reply came: whether
    /// anybody got the request is not known.
    #[error(
        "the connection to the server ended before a reply from {subject} came; the request may have been received"
    )]
    Lost {
        /// The subject.
        subject: String,
    },
    /// It could not be sent.
    #[error(transparent)]
    Send(#[from] SendError),
}

/// Why a subscription was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SubscribeError {
    /// The filter or queue name is not well formed.
    #[error("`{}` is not a filter to subscribe to", filter.escape_debug())]
    Filter {
        /// The filter.
        filter: String,
    },
    /// The server did not confirm it in time.
    #[error("the server did not confirm the subscription to {filter}: {reason}")]
    Unconfirmed {
        /// The filter.
        filter: String,
        /// What happened.
        reason: String,
    },
}

/// Why a stream cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StreamError {
    /// The name or a subject is not well formed.
    #[error("stream `{}` cannot be: {reason}", name.escape_debug())]
    Invalid {
        /// The stream.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// A stream of that name is there and is another.
    #[error(
        "stream {name} exists with other settings: {difference}; change the declaration or the stream"
    )]
    Differs {
        /// The stream.
        name: String,
        /// Each setting that differs, as found and as wanted.
        difference: String,
    },
    /// Another stream captures some of its subjects.
    #[error("stream {name} cannot capture {subject}: stream {other} does already")]
    Overlaps {
        /// The stream.
        name: String,
        /// The subject both want.
        subject: String,
        /// The stream that has it.
        other: String,
    },
    /// The stream is not there, and this handle makes none.
    #[error(
        "stream {name} is not there, and may not be made here; make it with `Node::apply`, as `shop apply` does"
    )]
    Missing {
        /// The stream.
        name: String,
    },
    /// The server did not answer, or refused.
    #[error("stream {name} is not available: {reason}")]
    Unavailable {
        /// The stream.
        name: String,
        /// What the server said.
        reason: String,
    },
}

/// Why a message was refused by its stream; it is certain that it is not stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// The message has no id to recognise a duplicate by.
    #[error("a message on {subject} has no `Nats-Msg-Id`; a stream needs one to know a duplicate")]
    NoId {
        /// The subject.
        subject: String,
    },
    /// Its headers take more room than a stored message has for them.
    #[error(
        "the headers of a message on {subject} take {bytes} bytes; at most {limit} can be stored"
    )]
    Headers {
        /// The subject.
        subject: String,
        /// The size of the headers.
        bytes: usize,
        /// The most that any carrier stores.
        limit: usize,
    },
    /// The stream does not capture the subject.
    #[error("stream {stream} does not keep {subject}")]
    NotCaptured {
        /// The stream.
        stream: String,
        /// The subject.
        subject: String,
    },
    /// The stream is gone.
    #[error("there is no stream {stream}")]
    NoStream {
        /// The stream.
        stream: String,
    },
    /// The stream is full; nothing is dropped to make room.
    #[error("stream {stream} is full: {reason}")]
    Full {
        /// The stream.
        stream: String,
        /// Which limit was hit.
        reason: String,
    },
    /// Its schedule is not one that the stream can keep.
    #[error("stream {stream} cannot keep what is scheduled on {subject}: {reason}")]
    Schedule {
        /// The stream.
        stream: String,
        /// The subject.
        subject: String,
        /// What is wrong.
        reason: String,
    },
    /// It could not be sent.
    #[error(transparent)]
    Send(#[from] SendError),
    /// The stream refuses it for another reason.
    #[error("stream {stream} refuses a message on {subject}: {reason}")]
    Refused {
        /// The stream.
        stream: String,
        /// The subject.
        subject: String,
        /// What the server said.
        reason: String,
    },
}

/// Why a scheduled message could not be taken back.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CancelError {
    /// The stream is gone.
    #[error("there is no stream {stream}")]
    NoStream {
        /// The stream.
        stream: String,
    },
    /// The stream keeps no schedules, or none on this subject.
    #[error("stream {stream} keeps nothing that is scheduled on `{}`", subject.escape_debug())]
    NotKept {
        /// The stream.
        stream: String,
        /// The subject.
        subject: String,
    },
    /// The stream did not confirm it in time.
    #[error(
        "stream {stream} did not confirm that {subject} is cancelled: {reason}; cancel it again"
    )]
    Unavailable {
        /// The stream.
        stream: String,
        /// The subject.
        subject: String,
        /// What happened.
        reason: String,
    },
}

/// Why a stream could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The stream is gone.
    #[error("there is no stream {stream}")]
    NoStream {
        /// The stream.
        stream: String,
    },
    /// The filter is not well formed, or the stream keeps nothing of it.
    #[error("stream {stream} cannot be read by `{}`", filter.escape_debug())]
    Filter {
        /// The stream.
        stream: String,
        /// The filter.
        filter: String,
    },
    /// The server did not answer in time.
    #[error("stream {stream} could not be read: {reason}")]
    Unavailable {
        /// The stream.
        stream: String,
        /// What happened.
        reason: String,
    },
}

/// Why a consumer cannot be used, or ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConsumerError {
    /// The name, filter or a limit is not well formed.
    #[error("consumer `{}` cannot be: {reason}", name.escape_debug())]
    Invalid {
        /// The consumer.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// The stream is gone.
    #[error("there is no stream {stream}")]
    NoStream {
        /// The stream.
        stream: String,
    },
    /// A consumer of that name reads another part of the stream.
    #[error("consumer {name} exists with other settings: {difference}")]
    Differs {
        /// The consumer.
        name: String,
        /// Each setting that differs.
        difference: String,
    },
    /// The consumer is not there, and this handle makes none.
    #[error(
        "consumer {name} of stream {stream} is not there, and may not be made here; make it with `Node::apply`, as `shop apply` does"
    )]
    Missing {
        /// The consumer.
        name: String,
        /// The stream.
        stream: String,
    },
    /// The server did not answer, or refused.
    #[error("consumer {name} is not available: {reason}")]
    Unavailable {
        /// The consumer.
        name: String,
        /// What happened.
        reason: String,
    },
}

/// Why an acknowledgement did not reach the stream; the message comes again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the acknowledgement of {subject} #{sequence} was not taken: {reason}")]
pub struct AckError {
    /// The message's subject.
    pub subject: String,
    /// Its sequence.
    pub sequence: u64,
    /// What happened.
    pub reason: String,
}
