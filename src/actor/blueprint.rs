use super::{Hosted, Restart, Retry, Seat, pattern::Pattern};
use crate::{call::Client, error::BoxError, message::Subject};
use bytes::Bytes;
use futures_util::future::LocalBoxFuture;
use std::{
    any::{Any, TypeId},
    collections::BTreeMap,
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

/// Where a listener that is new begins to hear events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Begins {
    /// With the oldest: none is lost because nobody listened.
    #[default]
    AtTheOldest,
    /// With those to come.
    Now,
}

/// Finds live sagas that could not go on with the code at hand: their ids, and why.
pub(crate) type Review = Arc<
    dyn Fn(Client) -> LocalBoxFuture<'static, Result<Vec<(String, String)>, BoxError>>
        + Send
        + Sync,
>;

/// The requirements of the sagas whose journals an actor keeps.
#[derive(Clone)]
pub(crate) struct SagaNeeds {
    /// The review of those that are live.
    pub(crate) review: Review,
    /// After how much silence of its runner one goes on elsewhere.
    pub(crate) lease: Duration,
    /// How many are run at once on all nodes.
    pub(crate) in_flight: usize,
}

/// An actor's description without the type of its state.
pub(crate) struct Blueprint {
    pub(crate) name: &'static str,
    pub(crate) answers: Vec<Answered>,
    pub(crate) hears: Vec<(Subject, usize)>,
    /// Where it begins to hear them if it is new, and how it was called before.
    pub(crate) begins: Begins,
    pub(crate) formerly: Option<String>,
    /// The event types that it reads, and up to which version of each.
    pub(crate) schemas: BTreeMap<&'static str, u32>,
    pub(crate) ticks: Vec<(Duration, usize)>,
    pub(crate) repeats: Vec<Repeated>,
    pub(crate) restart: Restart,
    pub(crate) instances: usize,
    pub(crate) stop_within: Duration,
    pub(crate) retry: Retry,
    pub(crate) lag: Option<Arc<AtomicU64>>,
    /// What its sagas need, if it keeps journals of sagas under its name.
    pub(crate) sagas: Option<SagaNeeds>,
    pub(crate) spawn: Box<dyn Fn(Seat) -> Hosted + Send>,
}

impl fmt::Debug for Blueprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Blueprint")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
