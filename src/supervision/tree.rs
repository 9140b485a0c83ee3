use crate::actor::Inbox;
use serde::{Deserialize, Serialize};
use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
};

/// A node's supervision tree at one moment, as it is told over the bus.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tree {
    /// The node's name.
    pub node: String,
    /// The engine's version.
    pub version: String,
    /// What carries its messages.
    pub bus: String,
    /// Its groups, in the order they start.
    pub groups: Vec<Branch>,
}

/// One group or actor of a tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Branch {
    /// Its name; instances of one actor end in `#` and a number.
    pub name: String,
    /// How it is supervised: a group's strategy, or an actor's restart type.
    pub policy: String,
    /// What it does now.
    pub state: State,
    /// How often it was started again.
    pub restarts: u32,
    /// Why it ended the last time.
    pub reason: Option<String>,
    /// How many messages wait in its mailbox or are being handled; nothing for a group.
    pub mailbox: Option<usize>,
    /// How many messages a projection's model is behind its streams; nothing for others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag: Option<u64>,
    /// A group's children, in the order they start.
    pub children: Vec<Self>,
}

/// What a child does now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum State {
    /// It is being built.
    Starting,
    /// It handles messages.
    Running,
    /// It ended and will be started again.
    Restarting,
    /// It was stopped, or ended for good.
    Stopped,
}

/// One child as it is now: its supervisor writes, everyone reads.
#[derive(Debug)]
pub(crate) struct Live {
    name: String,
    policy: String,
    inbox: Option<Inbox>,
    lag: Option<Arc<AtomicU64>>,
    children: Vec<Arc<Self>>,
    restarts: AtomicU32,
    now: Mutex<(State, Option<String>)>,
}

impl Live {
    pub(super) fn new(name: String, policy: String, children: Vec<Arc<Self>>) -> Arc<Self> {
        Arc::new(Self::at_rest(name, policy, children))
    }

    /// Describes an actor, which may be behind its streams.
    pub(super) fn of_actor(
        name: String,
        policy: String,
        inbox: Inbox,
        lag: Option<Arc<AtomicU64>>,
    ) -> Arc<Self> {
        let inbox = Some(inbox);
        Arc::new(Self { inbox, lag, ..Self::at_rest(name, policy, Vec::new()) })
    }

    fn at_rest(name: String, policy: String, children: Vec<Arc<Self>>) -> Self {
        let now = Mutex::new((State::Stopped, None));
        let restarts = AtomicU32::new(0);
        Self { name, policy, inbox: None, lag: None, children, restarts, now }
    }

    pub(super) fn set(&self, state: State) {
        self.now.lock().unwrap_or_else(PoisonError::into_inner).0 = state;
    }

    pub(super) fn ended(&self, state: State, reason: String) {
        *self.now.lock().unwrap_or_else(PoisonError::into_inner) = (state, Some(reason));
    }

    pub(super) fn restarted(&self) {
        self.restarts.fetch_add(1, Relaxed);
    }

    /// Returns how many messages are in its mailbox and in those below it.
    pub(crate) fn depth(&self) -> usize {
        let own = self.inbox.as_ref().map_or(0, Inbox::depth);
        own + self
            .children
            .iter()
            .map(|child| child.depth())
            .sum::<usize>()
    }

    /// Returns it and all below it as they are now.
    pub(crate) fn branch(&self) -> Branch {
        let (state, reason) = self
            .now
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        Branch {
            name: self.name.clone(),
            policy: self.policy.clone(),
            state,
            restarts: self.restarts.load(Relaxed),
            reason,
            mailbox: self.inbox.as_ref().map(Inbox::depth),
            lag: self.lag.as_ref().map(|lag| lag.load(Relaxed)),
            children: self.children.iter().map(|child| child.branch()).collect(),
        }
    }
}
