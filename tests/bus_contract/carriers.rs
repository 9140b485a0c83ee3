//! The carriers under contract: how each is opened, and what it promises
//! where promises may differ.

use callboard::bus::Bus;
use std::any::Any;

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
}

impl Carrier {
    pub(crate) async fn open(self) -> Opened {
        match self {
            Self::Embedded => embedded(),
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
