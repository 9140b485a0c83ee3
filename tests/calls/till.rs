//! A till, and a desk that calls it.

use crate::support::{log::Log, way::Way};
use callboard::{
    Actor, Answer, Command, Context, Event, Failure, Group, Infallible, NodeError, Rejection,
    Running, Subject,
};
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, sync::Arc, time::Duration};
use tokio::{sync::Semaphore, time::sleep};

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Charge {
    pub(crate) amount: u64,
}

#[derive(Debug, PartialEq, Serialize, Deserialize, thiserror::Error)]
pub(crate) enum Declined {
    #[error("over the limit of {limit}")]
    OverLimit { limit: u64 },
}

impl Rejection for Declined {}

impl Command for Charge {
    const SUBJECT: Subject = Subject::new("till.charge");
    type Outcome = Result<u64, Declined>;
}

/// The same command as another crate might declare it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ChargeAbroad {
    pub(crate) note: String,
    pub(crate) amount: u32,
}

impl Command for ChargeAbroad {
    const SUBJECT: Subject = Subject::new("till.charge");
    type Outcome = Result<u64, Declined>;
}

/// Nobody answers it, though its domain is there.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Forget;

impl Command for Forget {
    const SUBJECT: Subject = Subject::new("till.forget");
    type Outcome = Result<(), Infallible>;
}

/// Nobody answers its domain.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Nowhere;

impl Command for Nowhere {
    const SUBJECT: Subject = Subject::new("nowhere.go");
    type Outcome = Result<(), Infallible>;
}

/// Waits at the gate.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Wait;

impl Command for Wait {
    const SUBJECT: Subject = Subject::new("till.wait");
    type Outcome = Result<(), Infallible>;
}

/// Asks what the callee knows about the call.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Probe;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Known {
    pub(crate) id: String,
    pub(crate) correlation: String,
    pub(crate) caller: Option<String>,
    pub(crate) left: Option<Duration>,
}

impl Command for Probe {
    const SUBJECT: Subject = Subject::new("till.probe");
    type Outcome = Result<Known, Infallible>;
}

/// Has the desk probe the till, after a while.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Relay {
    pub(crate) after: Duration,
}

impl Command for Relay {
    const SUBJECT: Subject = Subject::new("desk.relay");
    type Outcome = Result<Known, Infallible>;
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Probed;

impl Event for Probed {
    const SUBJECT: Subject = Subject::new("till.probed");

    fn key(&self) -> Cow<'_, str> {
        "probe".into()
    }
}

#[derive(Clone, Default)]
pub(crate) struct Till {
    pub(crate) log: Log,
    pub(crate) gate: Option<Arc<Semaphore>>,
}

impl Till {
    async fn charge(&mut self, charge: Charge, _: &Context) -> Answer<Charge> {
        self.log.note(format!("charge {}", charge.amount));
        if charge.amount > 100 {
            return Err(Declined::OverLimit { limit: 100 }.into());
        }
        Ok(charge.amount)
    }

    async fn wait(&mut self, _: Wait, _: &Context) -> Answer<Wait> {
        self.log.note("wait");
        if let Some(gate) = &self.gate {
            let _open = gate.acquire().await.map_err(Failure::from)?;
        }
        Ok(())
    }

    async fn probe(&mut self, _: Probe, ctx: &Context) -> Answer<Probe> {
        self.log.note("probe");
        ctx.publish(Probed).await?;
        Ok(Known {
            id: ctx.id().to_string(),
            correlation: ctx.correlation().to_string(),
            caller: ctx.caller().map(str::to_owned),
            left: ctx.remaining(),
        })
    }
}

async fn relay(log: &mut Log, relay: Relay, ctx: &Context) -> Answer<Relay> {
    sleep(relay.after).await;
    let known = ctx.call(Probe).await;
    if let Err(error) = &known {
        log.note(error.to_string());
    }
    Ok(known?)
}

pub(crate) struct Counter {
    pub(crate) node: Running,
    pub(crate) log: Log,
    pub(crate) gate: Arc<Semaphore>,
}

/// Starts a node with a till and, two groups deep, a desk that calls it.
pub(crate) async fn open(way: &Way) -> Result<Counter, NodeError> {
    let (log, gate) = (Log::default(), Arc::new(Semaphore::new(0)));
    let till = Till { log: log.clone(), gate: Some(Arc::clone(&gate)) };
    let till = Actor::new("till", async move || Ok(till.clone()))
        .answer(Till::charge)
        .answer(Till::wait)
        .answer(Till::probe);
    let own = log.clone();
    let desk = Actor::new("desk", async move || Ok(own.clone())).answer(relay);
    let desk = Group::new("desk").child(Group::new("front").child(desk));
    let node = way
        .node("n")
        .group(Group::new("till").child(till))
        .group(desk)
        .start()
        .await?;
    Ok(Counter { node, log, gate })
}
