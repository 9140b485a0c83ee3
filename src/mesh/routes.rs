//! Tables that are the same on all nodes: set on one, told to all.

use super::{Mesh, setter, wire};
use crate::{
    actor::{Actor, Context},
    bus::{Bus, Message, RequestError, Subscription},
    call::{
        Ways,
        tables::{self, Taken},
    },
    error::Failure,
    message::{Namespace, Status, codec, known},
    policy::Policies,
    route::RouteTable,
    telemetry::TABLES_REFUSED_TOTAL,
    time::Clock,
    version,
};
use serde::{Serialize, de::DeserializeOwned};
use std::{marker::PhantomData, time::Duration};
use tokio::task::JoinSet;

/// How often it is looked whether all is still listened to.
const GLANCE: Duration = Duration::from_secs(10);
/// How long setting and getting may take.
const PATIENCE: Duration = Duration::from_secs(2);

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

/// A table that all nodes go by.
pub(super) trait Shared: Clone + PartialEq + Serialize + DeserializeOwned + 'static {
    /// What it is called in subjects.
    const NAME: &'static str;

    /// Returns its version.
    fn version(&self) -> u64;

    /// Returns the one that a node goes by.
    fn of(ways: &Ways) -> Self;

    /// Returns what tells that one from others, the newer being the greater.
    fn stamp(ways: &Ways) -> (u64, u64);

    /// Has a node go by it in the place of the one that it was made from, or of whatever
    /// is there; returns its version.
    fn set(self, ways: &Ways, made_from: Option<u64>) -> Result<u64, String>;

    /// Has a node go by it as others do, if it is newer.
    fn adopt(self, ways: &Ways) -> bool;
}

impl Shared for RouteTable {
    const NAME: &'static str = tables::ROUTES;

    fn version(&self) -> u64 {
        self.version
    }

    fn of(ways: &Ways) -> Self {
        ways.routes.table()
    }

    fn stamp(ways: &Ways) -> (u64, u64) {
        ways.routes.stamp()
    }

    fn set(self, ways: &Ways, made_from: Option<u64>) -> Result<u64, String> {
        ways.routes
            .set(self, made_from)
            .map_err(|error| error.to_string())
    }

    fn adopt(self, ways: &Ways) -> bool {
        ways.routes.adopt(self)
    }
}

impl Shared for Policies {
    const NAME: &'static str = tables::POLICIES;

    fn version(&self) -> u64 {
        Self::version(self)
    }

    fn of(ways: &Ways) -> Self {
        ways.lines.table()
    }

    fn stamp(ways: &Ways) -> (u64, u64) {
        ways.lines.stamp()
    }

    fn set(self, ways: &Ways, made_from: Option<u64>) -> Result<u64, String> {
        ways.lines
            .set(self, made_from)
            .map_err(|error| error.to_string())
    }

    fn adopt(self, ways: &Ways) -> bool {
        ways.lines.adopt(self)
    }
}

/// Hears of tables of one kind, and hands its own out.
#[derive(Debug)]
pub(super) struct Desk<T> {
    listening: JoinSet<()>,
    of: PhantomData<fn() -> T>,
}

impl<T: Shared> Desk<T> {
    pub(super) fn actor(mesh: &Mesh) -> Actor<Self> {
        let mesh = mesh.clone();
        Actor::new(T::NAME, async move || Self::open(mesh.clone()).await).every(GLANCE, Self::check)
    }

    async fn open(mesh: Mesh) -> Result<Self, Failure> {
        let (bus, names) = (&mesh.0.bus, &mesh.0.namespace);
        let told = bus.subscribe(&tables::told(names, T::NAME), None).await?;
        let queue = Some(wire::QUEUE);
        let set = bus.subscribe(&tables::set(names, T::NAME), queue).await?;
        let get = bus.subscribe(&tables::get(names, T::NAME), queue).await?;
        let holds = bus.subscribe(&tables::holds(names, T::NAME), None).await?;
        let own = tables::setter(names, T::NAME, mesh.instance());
        let own = bus.subscribe(&own, None).await?;
        let mut listening = JoinSet::new();
        // Who waits for another to set a table still sets what others pass on.
        listening.spawn_local(setter::pass_on::<T>(mesh.clone(), set));
        listening.spawn_local(listen::<T>(mesh, told, (own, get, holds)));
        Ok(Self { listening, of: PhantomData })
    }

    async fn check(&mut self, _: &Context) -> Result<(), Failure> {
        match self.listening.try_join_next() {
            None => Ok(()),
            Some(_) => Err(Failure::crash("what hears of tables has ended")),
        }
    }
}

async fn listen<T: Shared>(
    mesh: Mesh,
    mut told: Subscription,
    (mut set, mut get, mut holds): (Subscription, Subscription, Subscription),
) {
    loop {
        tokio::select! {
            // Who asks whether it goes by a table that was told before has it taken first.
            biased;
            word = told.next() => match word {
                Some(word) => mesh.hear_table::<T>(&word),
                None => return,
            },
            asked = holds.next() => match asked {
                Some(asked) => mesh.say_whether::<T>(asked).await,
                None => return,
            },
            asked = set.next() => match asked {
                Some(asked) => mesh.set_asked::<T>(asked).await,
                None => return,
            },
            asked = get.next() => match asked.map(|asked| asked.reply) {
                Some(Some(reply)) => mesh.send(reply, &T::of(&mesh.0.ways)).await,
                Some(None) => {}
                None => return,
            },
        }
    }
}

impl Mesh {
    /// Takes a table that another node goes by, if it is newer.
    pub(super) fn adopt<T: Shared>(&self, table: T) {
        if table.adopt(&self.0.ways) {
            let (version, _) = T::stamp(&self.0.ways);
            tracing::info!(version, table = T::NAME, "the table has changed");
        }
    }

    /// Takes a table that another node tells, unless its version is too far ahead to be
    /// one that somebody set: whoever went by that could not be told of any other.
    fn adopt_told<T: Shared>(&self, told: T) {
        let ((known, _), version) = (T::stamp(&self.0.ways), told.version());
        if version::is_plausible(version, known) {
            return self.adopt(told);
        }
        metrics::counter!(TABLES_REFUSED_TOTAL, "table" => T::NAME).increment(1);
        tracing::warn!(
            version,
            known,
            table = T::NAME,
            "a table was told whose version is too far ahead: it is taken for a forgery"
        );
    }

    /// Takes a table that is told to all.
    fn hear_table<T: Shared>(&self, word: &Message) {
        match known::decode::<T>(&word.payload) {
            Ok(table) => self.adopt_told(table),
            Err(error) => tracing::warn!(error, table = T::NAME, "a table cannot be read"),
        }
    }

    /// Says whether this node goes by a table.
    async fn say_whether<T: Shared>(&self, asked: Message) {
        let Some(reply) = asked.reply else { return };
        let (version, _) = T::stamp(&self.0.ways);
        let outcome = match known::decode::<T>(&asked.payload) {
            Ok(table) if table == T::of(&self.0.ways) => Ok(()),
            // Of two of one version it may have kept the other.
            Ok(table) if table.version() <= version => Err(format!(
                "it goes by version {version}, which another has set"
            )),
            Ok(_) => Err(format!(
                "it goes by version {version}, and has not heard of it"
            )),
            Err(error) => Err(format!("it cannot read it: it {error}")),
        };
        self.send(reply, &(&**self.node(), outcome)).await;
    }

    /// Tells all nodes the table that this one goes by.
    pub(super) async fn tell_table<T: Shared>(&self) {
        let subject = tables::told(&self.0.namespace, T::NAME);
        self.send(subject, &T::of(&self.0.ways)).await;
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
    let to = tables::set(namespace, tables::ROUTES);
    let order = tables::order(to, payload, (Clock::system(), PATIENCE));
    let answer = bus.request(order, PATIENCE).await?;
    if let Some((_, reason)) = Status::read(&answer.headers) {
        return Err(refused(reason.to_owned()));
    }
    let taken: Taken = codec::decode(&answer.payload).map_err(|error| codec(error.to_string()))?;
    Ok(taken.version)
}

/// Returns the table that a node of a namespace goes by.
#[cfg(feature = "cli")]
pub(crate) async fn get(bus: &Bus, namespace: &Namespace) -> Result<RouteTable, TableError> {
    let asked = Message::new(tables::get(namespace, tables::ROUTES), bytes::Bytes::new());
    let answer = bus.request(asked, PATIENCE).await?;
    known::decode(&answer.payload).map_err(|reason| TableError::Codec { reason })
}
