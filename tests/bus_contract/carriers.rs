//! The carriers under contract: how each is opened, and what it promises
//! where promises may differ.

#[path = "../support/mod.rs"]
mod support;

use callboard::bus::Bus;
use std::{
    any::Any,
    sync::{Arc, Mutex, PoisonError, Weak},
};
use support::nats::Server;

/// What a carrier promises where carriers may differ; everything else is the
/// same for all.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Guarantees {
    /// Whether what a stream holds outlives the process.
    pub(crate) survives_the_process: bool,
    /// Whether messages cross a network, so that an ended subscription may
    /// take a moment to be known.
    pub(crate) remote: bool,
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
    Nats,
}

impl Carrier {
    pub(crate) async fn open(self) -> Opened {
        match self {
            Self::Embedded => embedded(),
            Self::Nats => nats().await,
        }
    }
}

fn embedded() -> Opened {
    Opened {
        bus: Bus::embedded(),
        guarantees: Guarantees { survives_the_process: false, remote: false },
        keeps: None,
    }
}

/// Connects to the one server of this test binary; it ends with the last case
/// that uses it, which a static would not see to.
async fn nats() -> Opened {
    static SERVER: Mutex<Weak<Server>> = Mutex::new(Weak::new());
    let server = {
        let mut shared = SERVER.lock().unwrap_or_else(PoisonError::into_inner);
        shared.upgrade().unwrap_or_else(|| {
            let server = Arc::new(Server::start());
            *shared = Arc::downgrade(&server);
            server
        })
    };
    let bus = Bus::nats(server.url()).await;
    Opened {
        bus: bus.expect("the server of this test takes connections"),
        guarantees: Guarantees { survives_the_process: true, remote: true },
        keeps: Some(Box::new(server)),
    }
}
