//! The routing table, the same on all nodes: set on one, told to all.

use super::{Mesh, ejected, setter, wire};
use crate::{
    actor::{Actor, Context},
    bus::{Bus, Message, RequestError, Subscription},
    error::Failure,
    message::{Namespace, Status, codec},
    route::RouteTable,
};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tokio::task::JoinSet;

/// How often it is looked whether all is still listened to.
const GLANCE: Duration = Duration::from_secs(10);
/// How long setting and getting may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// What one who sets a table is told.
#[derive(Serialize, Deserialize)]
pub(super) struct Taken {
    pub(super) version: u64,
}

/// Why a routing table was not set, or not got.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TableError {
    /// It is flawed, or was made from an older one than the one that is there.
    #[error("the routing table was refused: {reason}")]
    Refused {
        /// Why.
        reason: String,
    },
    /// No node answers.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// What travels cannot be written or read.
    #[error("the routing table {reason}")]
    Codec {
        /// Why not.
        reason: String,
    },
}

/// Hears of routing tables, and hands its own out.
#[derive(Debug)]
pub(super) struct Desk {
    listening: JoinSet<()>,
}

impl Desk {
    pub(super) fn actor(mesh: &Mesh) -> Actor<Self> {
        let mesh = mesh.clone();
        Actor::new("routes", async move || Self::open(mesh.clone()).await)
            .every(GLANCE, Self::check)
    }

    async fn open(mesh: Mesh) -> Result<Self, Failure> {
        let (bus, names) = (&mesh.0.bus, &mesh.0.namespace);
        let told = bus.subscribe(&wire::table(names), None).await?;
        let set = bus.subscribe(&wire::set(names), Some(wire::QUEUE)).await?;
        let get = bus.subscribe(&wire::get(names), Some(wire::QUEUE)).await?;
        let own = wire::setter(names, mesh.instance());
        let own = bus.subscribe(&own, None).await?;
        let out = bus.subscribe(&wire::ejected(names), None).await?;
        let mut listening = JoinSet::new();
        listening.spawn_local(ejected::answer(mesh.clone(), out));
        // Who waits for another to set a table still sets what others pass on.
        listening.spawn_local(setter::pass_on(mesh.clone(), set));
        listening.spawn_local(listen(mesh, told, (own, get)));
        Ok(Self { listening })
    }

    async fn check(&mut self, _: &Context) -> Result<(), Failure> {
        match self.listening.try_join_next() {
            None => Ok(()),
            Some(_) => Err(Failure::crash("what hears of routes has ended")),
        }
    }
}

async fn listen(
    mesh: Mesh,
    mut told: Subscription,
    (mut set, mut get): (Subscription, Subscription),
) {
    loop {
        tokio::select! {
            word = told.next() => match word.map(|word| codec::decode::<RouteTable>(&word.payload)) {
                Some(Ok(table)) => mesh.adopt(table),
                Some(Err(error)) => tracing::warn!(%error, "a routing table cannot be read"),
                None => return,
            },
            asked = set.next() => match asked {
                Some(asked) => mesh.set_asked(asked).await,
                None => return,
            },
            asked = get.next() => match asked.map(|asked| asked.reply) {
                Some(Some(reply)) => mesh.send(reply, &mesh.0.ways.routes.table()).await,
                Some(None) => {}
                None => return,
            },
        }
    }
}

impl Mesh {
    /// Takes a table that another node goes by, if it is newer.
    pub(super) fn adopt(&self, table: RouteTable) {
        let version = table.version;
        if self.0.ways.routes.adopt(table) {
            tracing::info!(version, "the routing table has changed");
        }
    }

    /// Tells all nodes the table that this one goes by.
    pub(super) async fn show_routes(&self) {
        let table = self.0.ways.routes.table();
        self.send(wire::table(&self.0.namespace), &table).await;
    }
}

/// Has all nodes of a namespace go by a table; returns its version.
pub(crate) async fn set(
    bus: &Bus,
    namespace: &Namespace,
    table: &RouteTable,
) -> Result<u64, TableError> {
    let refused = |reason| TableError::Refused { reason };
    table.check().map_err(|error| refused(error.to_string()))?;
    let codec = |reason| TableError::Codec { reason };
    let payload = codec::encode(table).map_err(|error| codec(error.to_string()))?;
    let answer = bus
        .request(Message::new(wire::set(namespace), payload), PATIENCE)
        .await?;
    if let Some((_, reason)) = Status::read(&answer.headers) {
        return Err(refused(reason.to_owned()));
    }
    let taken: Taken = codec::decode(&answer.payload).map_err(|error| codec(error.to_string()))?;
    Ok(taken.version)
}

/// Returns the table that a node of a namespace goes by.
#[cfg(feature = "cli")]
pub(crate) async fn get(bus: &Bus, namespace: &Namespace) -> Result<RouteTable, TableError> {
    let asked = Message::new(wire::get(namespace), bytes::Bytes::new());
    let answer = bus.request(asked, PATIENCE).await?;
    codec::decode(&answer.payload).map_err(|error| TableError::Codec { reason: error.to_string() })
}
