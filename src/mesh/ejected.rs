//! Who is left out, as each node sees it that calls others.

use super::{Mesh, wire};
use crate::{
    actor::{Actor, Context},
    bus::Subscription,
    call::survey,
    error::Failure,
    route::Ejected,
};
#[cfg(feature = "cli")]
use crate::{bus::Bus, call::survey::AskError, message::Namespace};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tokio::{task::JoinSet, time::Instant};

/// How often it is looked whether who asks is still answered.
const GLANCE: Duration = Duration::from_secs(10);

/// The instances that one node leaves out.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct LeftOut {
    pub(crate) node: String,
    pub(crate) ejected: Vec<Ejected>,
}

/// Says whom the node leaves out.
#[derive(Debug)]
pub(super) struct Teller {
    telling: JoinSet<()>,
}

impl Teller {
    pub(super) fn actor(mesh: &Mesh) -> Actor<Self> {
        let mesh = mesh.clone();
        Actor::new("ejected", async move || Self::open(mesh.clone()).await)
            .every(GLANCE, Self::check)
    }

    async fn open(mesh: Mesh) -> Result<Self, Failure> {
        let subject = wire::ejected(&mesh.0.namespace);
        let asked = mesh.0.bus.subscribe(&subject, None).await?;
        let mut telling = JoinSet::new();
        telling.spawn_local(answer(mesh, asked));
        Ok(Self { telling })
    }

    async fn check(&mut self, _: &Context) -> Result<(), Failure> {
        match self.telling.try_join_next() {
            None => Ok(()),
            Some(_) => Err(Failure::crash("nobody says any more who is left out")),
        }
    }
}

async fn answer(mesh: Mesh, asked: Subscription) {
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
    let subject = wire::ejected(namespace);
    let mut all: Vec<LeftOut> = survey::survey(bus, subject, &(), within).await?;
    all.sort_by(|one, other| one.node.cmp(&other.node));
    Ok(all)
}
