use crate::{message::Namespace, policy::Standing};
use serde::{Deserialize, Serialize};

/// The limits of one node, its own first, then those of targets by their names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Panel {
    /// The node.
    pub node: String,
    /// How each stands. One of a target is there once that was called, or answered
    /// a call, on the node.
    pub limits: Vec<Standing>,
}

/// Which limits are asked for; all of them by default. A plain client may send
/// nothing.
///
/// # Examples
///
/// ```
/// use callboard::limit::Filter;
///
/// let payments = Filter::default().node("shop-1").target("payments");
/// ```
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
#[must_use]
pub struct Filter {
    node: Option<String>,
    target: Option<String>,
}

impl Filter {
    /// Lets only limits on this node through.
    pub fn node(mut self, name: impl Into<String>) -> Self {
        self.node = Some(name.into());
        self
    }

    /// Lets only limits of a command through, such as `payments.charge`, or of all
    /// commands of a domain, such as `payments`.
    pub fn target(mut self, name: impl Into<String>) -> Self {
        self.target = Some(name.into());
        self
    }

    pub(super) fn wants_node(&self, name: &str) -> bool {
        self.node.as_deref().is_none_or(|node| node == name)
    }

    pub(super) fn wants(&self, limit: &Standing) -> bool {
        let Some(wanted) = self.target.as_deref() else {
            return true;
        };
        limit.target.as_deref().is_some_and(|target| {
            let rest = target.strip_prefix(wanted);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        })
    }
}

/// The subject on which limits are asked for.
pub(super) fn question(namespace: &Namespace) -> String {
    namespace.system("ask.limits")
}
