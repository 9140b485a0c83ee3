use crate::{
    message::Namespace,
    policy::{Change, Force, Policies, Report, State},
};
use serde::{Deserialize, Serialize};

/// What is published when a breaker changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct News {
    /// The node whose breaker it is.
    pub node: String,
    /// The path of the actor that tends it, such as `payments/gateway`.
    pub path: String,
    /// The breaker's name.
    pub breaker: String,
    /// What became of it.
    pub change: Change,
}

/// The breakers that one actor tends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Panel {
    /// The node that it is on.
    pub node: String,
    /// Its path in the tree.
    pub path: String,
    /// What is known of each.
    pub breakers: Vec<Report>,
}

/// The policies that one node goes by.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Table {
    /// The node.
    pub node: String,
    /// Its own, or those of all nodes if their version is above 0.
    pub policies: Policies,
}

/// What is asked of those who tend breakers; a plain client may send nothing.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Question {
    /// Which breaker it is about; all of them without.
    pub(super) breaker: Option<String>,
    /// What is to become of it.
    pub(super) force: Option<Force>,
}

/// The subject on which breakers are asked for.
pub(super) fn question(namespace: &Namespace) -> String {
    namespace.system("breakers")
}

/// The subject on which nodes are asked for their policies.
pub(super) fn policies(namespace: &Namespace) -> String {
    namespace.system("policies")
}

/// The subject of a change.
pub(super) fn news(namespace: &Namespace, breaker: &str, state: State) -> String {
    let became = match state {
        State::Open | State::ForcedOpen => OPENED,
        State::HalfOpen => "half-opened",
        State::Closed | State::ForcedClosed => "closed",
    };
    namespace.system(&format!("breaker.{became}.{breaker}"))
}

const OPENED: &str = "opened";

/// The filter for breakers that opened.
pub(super) fn opened(namespace: &Namespace) -> String {
    namespace.system(&format!("breaker.{OPENED}.>"))
}
