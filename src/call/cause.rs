use crate::message::{Id, Trace};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::SystemTime,
};
use tokio::time::Instant;

/// The message being handled, as what follows from it needs to know it.
///
/// Everything made while handling it carries its correlation, names it as the
/// cause, and gets an id derived from it, so that handling it again makes the
/// same ids.
#[derive(Debug)]
pub(crate) struct Cause {
    pub(crate) id: Id,
    pub(crate) correlation: Id,
    pub(crate) trace: Option<Trace>,
    pub(crate) deadline: Option<Instant>,
    pub(crate) attempt: u32,
    /// Since when what follows from it may be there already, if it may have been
    /// handled before, and so long ago that streams have forgotten the ids.
    pub(crate) since: Option<SystemTime>,
    pub(crate) by: Arc<str>,
    /// Whether the sender of the command at hand may send it again under its id.
    pub(crate) named: bool,
    /// The message's id as it came, if others follow from another: see
    /// [`Envelope::root`](crate::message::Envelope::root).
    pub(crate) came_as: Option<Id>,
    made: AtomicU32,
}

impl Cause {
    pub(crate) const fn new(id: Id, correlation: Id, by: Arc<str>) -> Self {
        Self {
            id,
            correlation,
            trace: None,
            deadline: None,
            attempt: 1,
            since: None,
            by,
            named: false,
            came_as: None,
            made: AtomicU32::new(0),
        }
    }

    /// Returns the id that what follows names as its cause.
    pub(crate) const fn causation(&self) -> &Id {
        match &self.came_as {
            Some(id) => id,
            None => &self.id,
        }
    }

    /// Returns the same cause, nothing made of it yet.
    pub(crate) fn again(&self) -> Self {
        Self {
            id: self.id.clone(),
            correlation: self.correlation.clone(),
            trace: self.trace.clone(),
            by: Arc::clone(&self.by),
            came_as: self.came_as.clone(),
            made: AtomicU32::new(0),
            ..*self
        }
    }

    /// Returns the id of the next thing that is made of this message.
    pub(crate) fn next_id(&self) -> Id {
        self.id
            .derived(&self.by, self.made.fetch_add(1, Ordering::Relaxed))
    }
}
