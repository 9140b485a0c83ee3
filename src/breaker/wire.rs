use crate::{
    message::{Namespace, known},
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
    #[serde(deserialize_with = "known::field")]
    pub policies: Policies,
}

/// What is asked of those who tend breakers; a plain client may send nothing.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Question {
    /// Which breaker it is about; all of them without.
    pub(super) breaker: Option<String>,
}

/// What an operator makes of breakers.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Order {
    /// Which breaker it is about.
    pub(super) breaker: Option<String>,
    /// Whether it is about all of them; without this a breaker has to be named.
    pub(super) all: bool,
    /// What is to become of it.
    pub(super) force: Option<Force>,
}

impl Order {
    /// Returns which breaker it is about, none being all of them; and what becomes of it.
    pub(super) fn read(self) -> Option<(Option<String>, Force)> {
        match (self.breaker, self.all, self.force?) {
            (Some(name), false, force) => Some((Some(name), force)),
            (None, true, force) => Some((None, force)),
            _ => None,
        }
    }
}

/// The subject on which breakers are asked for.
pub(super) fn question(namespace: &Namespace) -> String {
    namespace.system("ask.breakers")
}

/// The subject on which breakers are forced.
pub(super) fn order(namespace: &Namespace) -> String {
    namespace.system("operator.breakers.force")
}

/// The subject on which nodes are asked for their policies.
pub(super) fn policies(namespace: &Namespace) -> String {
    namespace.system("ask.policies")
}

/// The subject of a change.
pub(super) fn news(namespace: &Namespace, breaker: &str, state: State) -> String {
    let became = match state {
        State::Open | State::ForcedOpen => OPENED,
        State::HalfOpen => "half-opened",
        State::Closed | State::ForcedClosed => "closed",
    };
    namespace.system(&format!("node.breaker.{became}.{breaker}"))
}

const OPENED: &str = "opened";

/// The filter for breakers that opened.
pub(super) fn opened(namespace: &Namespace) -> String {
    namespace.system(&format!("node.breaker.{OPENED}.>"))
}
