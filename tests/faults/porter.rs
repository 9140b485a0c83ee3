//! A porter, who may be well or not, and nodes that are heard of often.

use crate::support::way::{Verdict, Way, until};
use callboard::{
    Actor, Answer, Command, Context, Failure, Group, Infallible, Node, NodeError, Query,
    RouteTable, Running, Subject,
};
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, error::Error, time::Duration};
use tokio::{sync::watch, time::sleep};

pub(crate) const HEARTBEAT: Duration = Duration::from_millis(300);
pub(crate) const TTL: Duration = Duration::from_secs(1);

/// How long a porter is busy with each call: far more than it takes to get there, so
/// that a call that had to wait for a sick one stands out.
pub(crate) const WORK: Duration = Duration::from_millis(50);
/// How long one that is slow takes.
pub(crate) const SLOW: Duration = Duration::from_millis(600);

/// Answered with the name of the node that did it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Carry {
    pub(crate) key: String,
}

impl Command for Carry {
    const SUBJECT: Subject = Subject::new("porter.carry");
    type Outcome = Result<String, Infallible>;

    fn key(&self) -> Cow<'_, str> {
        (&self.key).into()
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum State {
    Well,
    Slow,
    Fails,
    Hangs,
}

/// A node's porter, and how it is.
#[derive(Clone)]
pub(crate) struct Porter {
    name: String,
    state: watch::Sender<State>,
}

impl Porter {
    pub(crate) fn new(name: &str) -> Self {
        let state = watch::Sender::new(State::Well);
        Self { name: name.to_owned(), state }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn becomes(&self, state: State) {
        self.state.send_replace(state);
    }

    async fn carry(&mut self, _: Carry, _: &Context) -> Answer<Carry> {
        let state = *self.state.borrow();
        match state {
            State::Well => sleep(WORK).await,
            State::Slow => sleep(SLOW).await,
            State::Fails => return Err(Failure::discard("out of order").into()),
            State::Hangs => {
                let mut state = self.state.subscribe();
                let over = state.wait_for(|state| *state != State::Hangs).await;
                drop(over.map_err(Failure::discard)?);
            }
        }
        Ok(self.name.clone())
    }

    /// Describes its group; it has hands enough, so that no call waits for another.
    pub(crate) fn group(&self) -> Group {
        let own = self.clone();
        let actor = Actor::new("porter", async move || Ok(own.clone()))
            .answer(Self::carry)
            .instances(64);
        Group::new("porter").child(actor)
    }

    pub(crate) async fn start(&self, node: Node) -> Result<Running, NodeError> {
        node.group(self.group()).start().await
    }
}

/// Describes a node that says often that it lives.
pub(crate) fn quick(way: &Way, name: &str) -> Node {
    way.node(name).heartbeat(HEARTBEAT, TTL)
}

/// Waits until a node knows so many porters.
pub(crate) async fn until_known(node: &Running, porters: usize) {
    until("the porters", async || {
        node.roster().find(&Query::of("porter")).len() == porters
    })
    .await;
}

/// Has all nodes go by one route, or by none.
pub(crate) async fn route(node: &Running, spread: &str, eject: &str) -> Verdict {
    let route = match (spread, eject) {
        ("queue", "") => String::new(),
        (spread, "") => format!(r#"{{"to": "porter", "spread": "{spread}"}}"#),
        (spread, eject) => {
            format!(r#"{{"to": "porter", "spread": "{spread}", "eject": {eject}}}"#)
        }
    };
    let table: RouteTable = serde_json::from_str(&format!(r#"{{"route": [{route}]}}"#))?;
    node.set_routes(&table).await?;
    Ok::<_, Box<dyn Error>>(())
}
