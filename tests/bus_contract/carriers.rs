//! The carriers under contract: how each is opened, and what it promises
//! where promises may differ.

use crate::support::folder::Folder;
#[cfg(feature = "nats")]
use crate::support::nats::Server;
use callboard::bus::Bus;
use std::any::Any;
#[cfg(feature = "nats")]
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// What a carrier promises where carriers may differ; everything else is the
/// same for all.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Guarantees {
    /// Whether what a stream holds outlives the process.
    pub(crate) survives_the_process: bool,
    /// Whether messages cross a network, so that an ended subscription may
    /// take a moment to be known.
    pub(crate) remote: bool,
    /// Whether an id is known as long as its message is kept, however short the
    /// stream's window is.
    pub(crate) remembers_ids: bool,
}

/// A carrier, opened for one case.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) bus: Bus,
    pub(crate) guarantees: Guarantees,
    /// What must live as long as the bus does.
    pub(crate) keeps: Option<Box<dyn Any + Send>>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Carrier {
    Embedded,
    Stored,
    #[cfg(feature = "nats")]
    Nats,
}

impl Carrier {
    pub(crate) async fn open(self) -> Opened {
        match self {
            Self::Embedded => embedded(),
            Self::Stored => stored(),
            #[cfg(feature = "nats")]
            Self::Nats => nats().await,
        }
    }
}

fn embedded() -> Opened {
    Opened {
        bus: Bus::embedded(),
        guarantees: Guarantees { survives_the_process: false, remote: false, remembers_ids: false },
        keeps: None,
    }
}

/// Opens a store in a directory of its own.
fn stored() -> Opened {
    let folder = Folder::fresh();
    let bus = Bus::embedded_at(folder.path()).expect("the directory is new");
    Opened {
        bus,
        guarantees: Guarantees { survives_the_process: true, remote: false, remembers_ids: true },
        keeps: Some(Box::new(folder)),
    }
}

#[cfg(feature = "nats")]
async fn nats() -> Opened {
    let server = server();
    let bus = Bus::nats(server.url())
        .await
        .expect("the server was started");
    Opened {
        bus,
        guarantees: Guarantees { survives_the_process: true, remote: true, remembers_ids: false },
        keeps: Some(Box::new(server)),
    }
}

/// Returns the server that all cases which run now share; the last one ends it.
#[cfg(feature = "nats")]
fn server() -> Arc<Server> {
    static SHARED: Mutex<Weak<Server>> = Mutex::new(Weak::new());
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    shared.upgrade().unwrap_or_else(|| {
        let server = Arc::new(Server::start());
        *shared = Arc::downgrade(&server);
        server
    })
}
