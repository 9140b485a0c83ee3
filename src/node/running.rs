use super::{NodeError, operation::Operation};
use crate::{
    call::Client,
    mesh::{self, TableError},
    roster::Roster,
    route::RouteTable,
    supervision::Tree,
};
use std::{sync::Arc, thread, time::Duration};
use tokio::{
    sync::{oneshot, watch},
    time::timeout,
};

/// A node that runs; dropping it stops the node in the background.
#[derive(Debug)]
#[must_use = "dropping it stops the node"]
pub struct Running {
    handles: Option<Handles>,
    stop: Option<oneshot::Sender<()>>,
    end: watch::Receiver<End>,
}

/// How a node ended; nothing while it runs.
type End = Option<Result<(), Arc<NodeError>>>;

/// What a started node gives to the program around it.
#[derive(Clone)]
pub(crate) struct Handles {
    pub(crate) client: Client,
    pub(crate) tree: Arc<dyn Fn() -> Tree + Send + Sync>,
    /// How long stopping takes at most, unless the node's own thread is blocked.
    pub(crate) stop_limit: Duration,
}

impl std::fmt::Debug for Handles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.client.fmt(f)
    }
}

impl Running {
    /// Makes the two ends between a node and its handle.
    pub(crate) fn new() -> (Self, Operation) {
        let (stop, stopping) = oneshot::channel();
        let (ended, end) = watch::channel(None);
        (
            Self { handles: None, stop: Some(stop), end },
            Operation { stopping, ended },
        )
    }

    pub(crate) fn with(mut self, handles: Handles) -> Self {
        self.handles = Some(handles);
        self
    }

    fn handles(&self) -> &Handles {
        self.handles.as_ref().expect("a running node was started")
    }

    /// Returns a client in the node's namespace, for the program around it.
    ///
    /// Commands to groups of this node skip the bus.
    pub fn client(&self) -> Client {
        self.handles().client.clone()
    }

    /// Returns who is there, as the node has heard.
    pub fn roster(&self) -> Roster {
        self.handles().client.roster()
    }

    /// Returns the routing table that the node goes by.
    pub fn routes(&self) -> RouteTable {
        self.handles().client.ways().routes.table()
    }

    /// Has all nodes of the namespace go by a routing table, this one from now on;
    /// returns its version.
    ///
    /// Its own [`version`](RouteTable::version) is the one it was made from. One node
    /// sets the tables of all who set one, so of two made from the same version the
    /// second is refused, and two that replace whatever is there get two versions.
    ///
    /// Where nodes cannot hear one another, each side sets its own. Once they can,
    /// all go by the table of the higher version, or by the same one of two with the
    /// same version; who set the other is not told.
    ///
    /// # Errors
    ///
    /// Returns [`TableError`] if the table is flawed, or another has come since the one
    /// that it was made from, or no node answers in time.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future may or may not set the table.
    pub async fn set_routes(&self, table: &RouteTable) -> Result<u64, TableError> {
        let client = &self.handles().client;
        let version = mesh::set_routes(client.bus(), client.namespace(), table).await?;
        // The word of it may still be on its way to this node.
        client
            .ways()
            .routes
            .adopt(RouteTable { version, ..table.clone() });
        Ok(version)
    }

    /// Returns the supervision tree as it is now.
    pub fn tree(&self) -> Tree {
        (self.handles().tree)()
    }

    /// Waits until the node has ended by itself.
    ///
    /// # Cancel safety
    ///
    /// Safe: nothing is changed.
    pub async fn ended(&mut self) {
        // A closed channel is a node that is gone.
        self.end.wait_for(Option::is_some).await.ok();
    }

    /// Drains and stops the node: takes in nothing more, finishes or hands back
    /// what is at hand, then stops the groups from right to left.
    ///
    /// It ends in any case: a group whose thread a handler blocks is left behind after
    /// the time that its children may take to stop, and so is the node's own thread.
    ///
    /// # Errors
    ///
    /// Returns [`NodeError::GaveUp`] if the node had ended by itself, and
    /// [`NodeError::Thread`] if a handler blocks the node's own thread.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future does not hold the stopping up.
    pub async fn stop(mut self) -> Result<(), NodeError> {
        if let Some(stop) = self.stop.take() {
            stop.send(()).ok();
        }
        let limit = self.handles().stop_limit;
        let blocked = overdue(self.end.clone(), limit);
        tokio::select! {
            biased;
            end = self.end.wait_for(Option::is_some) => match end {
                Ok(end) => told(&end),
                Err(_) => Err(NodeError::Thread { reason: "panicked".to_owned() }),
            },
            Ok(()) = blocked => {
                let limit = humantime::format_duration(limit);
                let reason = format!("is blocked by a handler and did not stop within {limit}");
                tracing::error!(reason, "the node's own thread is left behind");
                Err(NodeError::Thread { reason })
            }
        }
    }
}

fn told(end: &End) -> Result<(), NodeError> {
    match end {
        Some(Err(error)) => Err(match &**error {
            NodeError::GaveUp { reason } => NodeError::GaveUp { reason: reason.clone() },
            other => NodeError::Thread { reason: other.to_string() },
        }),
        _ => Ok(()),
    }
}

/// Tells when a node did not end in time, from a thread of its own: whatever else the
/// process has may stand still.
fn overdue(mut end: watch::Receiver<End>, limit: Duration) -> oneshot::Receiver<()> {
    let (tell, told) = oneshot::channel();
    let watch = move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build();
        let Ok(runtime) = runtime else { return };
        let ended =
            runtime.block_on(async { timeout(limit, end.wait_for(Option::is_some)).await.is_ok() });
        if !ended {
            tell.send(()).ok();
        }
    };
    let watching = thread::Builder::new()
        .name("callboard-stop".to_owned())
        .spawn(watch);
    if let Err(error) = watching {
        tracing::warn!(%error, "nobody watches how long stopping takes");
    }
    told
}
