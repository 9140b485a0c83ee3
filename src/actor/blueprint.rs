use super::{Hosted, Restart, Retry, Seat, pattern::Pattern};
use crate::message::Subject;
use bytes::Bytes;
use std::{
    any::{Any, TypeId},
    fmt,
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

/// A command that an actor answers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answered {
    pub(crate) subject: Subject,
    pub(crate) command: TypeId,
    /// The handler's place in the actor's table.
    pub(crate) route: usize,
    /// Decodes a payload to find its key.
    pub(crate) peek: Peek,
}

/// What an actor repeats for its group.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Repeated {
    pub(crate) name: &'static str,
    pub(crate) pattern: Pattern,
    /// The handler's place in the actor's table.
    pub(crate) route: usize,
}

pub(crate) type Peek = fn(&Bytes) -> Option<(Box<dyn Any + Send>, String)>;

/// An actor's description without the type of its state.
pub(crate) struct Blueprint {
    pub(crate) name: &'static str,
    pub(crate) answers: Vec<Answered>,
    pub(crate) hears: Vec<(Subject, usize)>,
    pub(crate) ticks: Vec<(Duration, usize)>,
    pub(crate) repeats: Vec<Repeated>,
    pub(crate) restart: Restart,
    pub(crate) instances: usize,
    pub(crate) stop_within: Duration,
    pub(crate) retry: Retry,
    pub(crate) lag: Option<Arc<AtomicU64>>,
    pub(crate) spawn: Box<dyn Fn(Seat) -> Hosted + Send>,
}

impl fmt::Debug for Blueprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Blueprint")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
