use super::{Doors, Load, Record, Ways};
use crate::{bus::Bus, message::Namespace, time::Clock};
use std::sync::Arc;

/// What all clients of one node share.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) bus: Bus,
    pub(crate) namespace: Namespace,
    pub(crate) node: Arc<str>,
    pub(crate) clock: Clock,
    pub(crate) doors: Doors,
    pub(crate) prefer_local: bool,
    pub(crate) replicas: usize,
    /// Whether there is no node that says how streams are to be.
    pub(crate) is_guest: bool,
    /// How much the node has in hand.
    pub(crate) load: Load,
    /// Where commands of actors are noted; nothing outside a replay.
    pub(crate) record: Option<Record>,
    pub(crate) ways: Ways,
}

impl Settings {
    /// Sets up a client without a node; all it sends goes over the bus.
    pub(super) fn of_a_guest(bus: Bus, namespace: Namespace) -> Self {
        Self {
            bus,
            namespace,
            node: "client".into(),
            clock: Clock::system(),
            doors: Doors::default(),
            prefer_local: false,
            replicas: 1,
            is_guest: true,
            load: Load::new(usize::MAX),
            record: None,
            ways: Ways::default(),
        }
    }
}
