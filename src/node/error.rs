use crate::{
    bus::{ConnectError, ConsumerError, ReadError, SendError, StreamError, SubscribeError},
    error::BoxError,
    message::NamespaceError,
    policy::PoliciesError,
    route::RouteError,
    supervision::GroupError,
};

/// Why a node did not start, or ended by itself.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NodeError {
    /// The node's name cannot stand in a subject.
    #[error("`{}` cannot name a node; use `a-z 0-9 - _`, such as `shop-1`", name.escape_debug())]
    Name {
        /// The name.
        name: String,
    },
    /// The namespace cannot stand in a subject.
    #[error(transparent)]
    Namespace(#[from] NamespaceError),
    /// Its version is none.
    #[error("`{}` is not a version; use three numbers, such as `1.4.0`", version.escape_debug())]
    Version {
        /// What was given.
        version: String,
    },
    /// Its region is no name.
    #[error(
        "`{}` cannot name a region; use up to 128 letters, digits and `- _ .`, such as `eu-west-1`",
        region.escape_debug()
    )]
    Region {
        /// What was given.
        region: String,
    },
    /// The routing table is wrong.
    #[error(transparent)]
    Routes(#[from] RouteError),
    /// A group's table is wrong.
    #[error(transparent)]
    Group(#[from] GroupError),
    /// A domain's commands are answered by two groups of the node.
    #[error(
        "the domain `{domain}` is answered by the groups `{first}` and `{second}`; a domain is answered by one group"
    )]
    TwoGroups {
        /// The domain.
        domain: String,
        /// One of the groups.
        first: String,
        /// The other.
        second: String,
    },
    /// The table of policies contradicts itself.
    #[error(transparent)]
    Policies(#[from] PoliciesError),
    /// Another node of this name runs in the namespace.
    #[error(
        "a node named `{name}` runs in the namespace `{namespace}` already; give this one another name"
    )]
    NameTaken {
        /// The name.
        name: String,
        /// The namespace.
        namespace: String,
    },
    /// A stream captures subjects on which replies are awaited.
    #[error(
        "stream {stream} captures {subject}, where commands are answered: callers would get the stream's receipt as their reply; narrow its subjects"
    )]
    Captured {
        /// The stream.
        stream: String,
        /// The filter that reaches too far.
        subject: String,
    },
    /// The bus does not keep what the profile promises.
    #[error("the profile asks for what lasts, and this is {found}; {cure}")]
    NotDurable {
        /// What was found.
        found: &'static str,
        /// What can be done.
        cure: &'static str,
    },
    /// Starting may not make streams, and they are not all there as needed.
    #[error("the bus is not as the groups need it: {missing}; make it so with `Node::apply`")]
    Undeclared {
        /// What is missing, or there with other settings.
        missing: String,
    },
    /// A consumer cannot be compared or made.
    #[error(transparent)]
    Consumer(#[from] ConsumerError),
    /// The bus is not there.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// A stream is not as it must be.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// The keys that are parked under an actor's former path cannot be taken over.
    #[error("the keys that are parked under `{path}` cannot be taken over: {reason}")]
    Parked {
        /// The path.
        path: String,
        /// What stood in the way.
        reason: String,
    },
    /// A stream cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The journals of sagas cannot be read.
    #[error("the sagas `{saga}` cannot be checked: {reason}")]
    Review {
        /// The sagas' name.
        saga: &'static str,
        /// What stood in the way.
        #[source]
        reason: BoxError,
    },
    /// The node could not listen.
    #[error(transparent)]
    Subscribe(#[from] SubscribeError),
    /// The node could not ask for others of its name.
    #[error(transparent)]
    Send(#[from] SendError),
    /// A child could not be started.
    #[error("the node did not start: {reason}")]
    Start {
        /// Which child, and why.
        reason: String,
    },
    /// The tree gave up after too many restarts, or the connection broke down
    /// for good; a lost server alone is waited for.
    #[error("the node gave up: {reason}")]
    GaveUp {
        /// What happened last.
        reason: String,
    },
    /// A thread could not be started, or is gone.
    #[error("a thread of the node {reason}")]
    Thread {
        /// What happened.
        reason: String,
    },
}
