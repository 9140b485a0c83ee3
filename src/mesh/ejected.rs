//! Who is left out, as each node sees it that calls others.

use super::Mesh;
#[cfg(feature = "cli")]
use crate::{bus::Bus, call::survey::AskError, message::Namespace};
use crate::{bus::Subscription, call::survey, route::Ejected};
use serde::{Deserialize, Serialize};
#[cfg(feature = "cli")]
use std::time::Duration;
use tokio::time::Instant;

/// The instances that one node leaves out.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct LeftOut {
    pub(crate) node: String,
    pub(crate) ejected: Vec<Ejected>,
}

/// Answers who asks until the bus is closed.
pub(super) async fn answer(mesh: Mesh, asked: Subscription) {
    let tell = |(): ()| {
        let ejected = mesh.0.ways.routes.ejected(Instant::now());
        [LeftOut { node: mesh.node().as_ref().to_owned(), ejected }]
    };
    survey::answer(&mesh.0.bus, asked, tell).await;
}

/// Asks all nodes whom they leave out; returns their answers by their names.
#[cfg(feature = "cli")]
pub(crate) async fn ejected(
    bus: &Bus,
    namespace: &Namespace,
    within: Duration,
) -> Result<Vec<LeftOut>, AskError> {
    let subject = super::wire::ejected(namespace);
    let mut all: Vec<LeftOut> = survey::survey(bus, subject, &(), within).await?;
    all.sort_by(|one, other| one.node.cmp(&other.node));
    Ok(all)
}
