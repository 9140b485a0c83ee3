use super::wire::{self, Filter, Panel};
use crate::call::{AskError, Client, survey::survey};
use std::{collections::BTreeMap, time::Duration};

/// Asks all nodes for their limits; a node of which a filter lets nothing through
/// has no panel.
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
    filter: &Filter,
    within: Duration,
) -> Result<Vec<Panel>, AskError> {
    let subject = wire::question(client.namespace());
    let parts: Vec<Panel> = survey(client.bus(), subject, filter, within).await?;
    let mut nodes: BTreeMap<String, Vec<_>> = BTreeMap::new();
    for Panel { node, limits } in parts {
        nodes.entry(node).or_default().extend(limits);
    }
    let panel = |(node, limits)| Panel { node, limits };
    Ok(nodes.into_iter().map(panel).collect())
}
