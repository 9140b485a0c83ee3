use super::wire::{self, Panel, Question};
use crate::{
    call::{AskError, Client, survey::survey},
    policy::{Force, Policies},
};
use std::time::Duration;

/// Asks all nodes for a breaker, or for all of them.
///
/// It waits for the first answer as long as it is told, and then until no
/// further one comes.
///
/// # Errors
///
/// Returns [`AskError`] if the question could not be sent.
///
/// # Cancel safety
///
/// Safe: nothing is changed.
pub async fn ask(
    client: &Client,
    breaker: Option<&str>,
    within: Duration,
) -> Result<Vec<Panel>, AskError> {
    let question = Question { breaker: breaker.map(str::to_owned), force: None };
    let subject = wire::question(client.namespace());
    let mut panels: Vec<Panel> = survey(client.bus(), subject, &question, within).await?;
    panels.sort_by(|a, b| (&a.node, &a.path).cmp(&(&b.node, &b.path)));
    Ok(panels)
}

/// Forces all breakers of a name open or closed, or lets them decide by
/// themselves again; returns how they are then.
///
/// A breaker of a policy is there once its target was called. What it is forced to
/// ends with its node: one that is started again decides by itself.
///
/// # Errors
///
/// Returns [`AskError`] if the order could not be sent.
///
/// # Cancel safety
///
/// Dropping the future may or may not have sent the order; sending it again is
/// harmless.
pub async fn force(
    client: &Client,
    breaker: &str,
    force: Force,
    within: Duration,
) -> Result<Vec<Panel>, AskError> {
    let question = Question { breaker: Some(breaker.to_owned()), force: Some(force) };
    let subject = wire::question(client.namespace());
    survey(client.bus(), subject, &question, within).await
}

/// Has all nodes that have policies go by another table; returns their names.
///
/// A target whose policy stays the same goes on as it was. Of one whose policy
/// changes, the breaker goes on if its limits stay the same, and stays as an operator
/// forced it; its rate, bulkhead, budget and kept replies begin anew.
///
/// # Errors
///
/// Returns [`SetError`] if it could not be sent, or a node refused it.
///
/// # Cancel safety
///
/// Dropping the future may or may not have sent it; sending it again is harmless.
pub async fn set_policies(
    client: &Client,
    table: &Policies,
    within: Duration,
) -> Result<Vec<String>, SetError> {
    let subject = wire::policies(client.namespace());
    let set: Vec<(String, Result<(), String>)> =
        survey(client.bus(), subject, table, within).await?;
    let mut nodes = Vec::with_capacity(set.len());
    for (node, outcome) in set {
        match outcome {
            Ok(()) => nodes.push(node),
            Err(reason) => return Err(SetError::Refused { node, reason }),
        }
    }
    nodes.sort_unstable();
    Ok(nodes)
}

/// Why not all nodes go by another table.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SetError {
    /// They could not be asked to.
    #[error(transparent)]
    Ask(#[from] AskError),
    /// A node does not go by the table; others may.
    #[error("the node `{node}` refused the policies: {reason}")]
    Refused {
        /// The node.
        node: String,
        /// Why.
        reason: String,
    },
}
