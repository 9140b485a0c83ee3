use crate::bus::Delivery;
use std::time::Duration;
use tokio::time::Instant;

/// An event on its way through the actor.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) delivery: Delivery,
    pub(super) attempt: u32,
    /// When it is tried again, if it failed.
    pub(super) due: Option<Instant>,
    /// Why it is given up, if it is.
    pub(super) dead: Option<String>,
    pub(super) running: bool,
    pub(super) renewed: Instant,
}

impl Held {
    /// Lets it wait before it is tried again; returns when that is.
    pub(super) fn put_off(&mut self, wait: Duration) -> Instant {
        let due = Instant::now() + wait;
        self.due = Some(due);
        due
    }
}
