use super::wire::{self, Order, Panel, Question, Table};
use crate::{
    bus::RequestError,
    call::{
        AskError, Client,
        survey::survey,
        tables::{self, Taken},
    },
    message::{
        Status,
        codec::{self, EncodeError},
    },
    policy::{Force, Policies, PoliciesError},
};
use std::time::Duration;
use tokio::time::Instant;

/// How long nodes are asked at least whether they go by a table that was set.
const LEAST: Duration = Duration::from_millis(300);

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
    let question = Question { breaker: breaker.map(str::to_owned) };
    let subject = wire::question(client.namespace());
    let mut panels: Vec<Panel> = survey(client.bus(), subject, &question, within).await?;
    panels.retain(|panel| !panel.breakers.is_empty());
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
    let order = Order { breaker: Some(breaker.to_owned()), all: false, force: Some(force) };
    let subject = wire::order(client.namespace());
    survey(client.bus(), subject, &order, within).await
}

/// Asks all nodes for the policies that they go by.
///
/// # Errors
///
/// Returns [`AskError`] if the question could not be sent.
///
/// # Cancel safety
///
/// Safe: nothing is changed.
pub async fn policies(client: &Client, within: Duration) -> Result<Vec<Table>, AskError> {
    let subject = wire::policies(client.namespace());
    let mut tables: Vec<Table> = survey(client.bus(), subject, &(), within).await?;
    tables.sort_by(|a, b| a.node.cmp(&b.node));
    Ok(tables)
}

/// Has all nodes go by another table, also those that start later; returns the
/// names of those that say so.
///
/// It replaces the whole table of every node, its own as well, and holds until
/// there is a newer one or no node is left that knows it.
///
/// A target whose policy stays the same goes on as it was. Of one whose policy
/// changes, each part that stays the same goes on, and its breaker stays as an
/// operator forced it.
///
/// # Errors
///
/// Returns [`SetError`] if the table is flawed or another has come since the one that
/// it was made from, then nothing is changed; if no node is there, or one of them does not
/// go by it.
///
/// # Cancel safety
///
/// Dropping the future may or may not have set it; one without a version may be
/// set again.
pub async fn set_policies(
    client: &Client,
    table: &Policies,
    within: Duration,
) -> Result<Vec<String>, SetError> {
    spread(client, table, within).await.map(|(_, nodes)| nodes)
}

/// The same; returns the version of the table, too.
pub(crate) async fn spread(
    client: &Client,
    table: &Policies,
    within: Duration,
) -> Result<(u64, Vec<String>), SetError> {
    table.check()?;
    let (bus, namespace) = (client.bus(), client.namespace());
    let nobody = || SetError::Nobody { namespace: namespace.to_string() };
    // One node gives it its version and tells it; then each says whether it goes by it.
    let deadline = Instant::now() + within;
    let to = tables::set(namespace, tables::POLICIES);
    let asked = tables::order(to, codec::encode(table)?, (client.clock(), within));
    let answer = match bus.request(asked, within).await {
        Err(RequestError::NoResponders { .. }) => return Err(nobody()),
        answer => answer?,
    };
    if let Some((_, reason)) = Status::read(&answer.headers) {
        return Err(SetError::NotTaken { reason: reason.to_owned() });
    }
    let Taken { version } = codec::decode(&answer.payload)
        .map_err(|error| SetError::NotTaken { reason: format!("the answer {error}") })?;
    let table = table.clone().numbered(version);
    let mut nodes = loop {
        let subject = tables::holds(namespace, tables::POLICIES);
        let left = deadline.saturating_duration_since(Instant::now());
        let said: Vec<(String, Result<(), String>)> =
            survey(bus, subject, &table, left.max(LEAST)).await?;
        let refused = said.iter().find_map(|(node, outcome)| {
            let reason = outcome.as_ref().err()?.clone();
            Some(SetError::Refused { node: node.clone(), reason })
        });
        match refused {
            None => break said.into_iter().map(|(node, _)| node).collect::<Vec<_>>(),
            // It may not have heard of it yet.
            Some(_) if Instant::now() < deadline => {}
            Some(refused) => return Err(refused),
        }
    };
    if nodes.is_empty() {
        return Err(nobody());
    }
    nodes.sort_unstable();
    Ok((version, nodes))
}

/// Why not all nodes go by another table.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SetError {
    /// They could not be asked to.
    #[error(transparent)]
    Ask(#[from] AskError),
    /// It is flawed.
    #[error(transparent)]
    Flawed(#[from] PoliciesError),
    /// The table could not be written.
    #[error("the table of policies {0}")]
    Encode(#[from] EncodeError),
    /// No node answers in time.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// There is no node.
    #[error("no node is there in namespace `{namespace}` to go by the policies; start one first")]
    Nobody {
        /// Where they were to be set.
        namespace: String,
    },
    /// It was not taken, and nothing has changed.
    #[error("the policies were refused: {reason}")]
    NotTaken {
        /// Why.
        reason: String,
    },
    /// A node does not go by the table; others do.
    #[error("the node `{node}` refused the policies: {reason}")]
    Refused {
        /// The node.
        node: String,
        /// Why.
        reason: String,
    },
}
