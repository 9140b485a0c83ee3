//! A small domain, and nodes that are heard of often.

use crate::support::way::Way;
use callboard::{
    Actor, Answer, Command, Context, Event, Failure, Group, Infallible, Node, Query, Rejection,
    Roster, Subject,
};
use serde::{Deserialize, Serialize};
use std::{
    borrow::Cow,
    error::Error,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering::SeqCst},
    },
    time::Duration,
};

pub(crate) const HEARTBEAT: Duration = Duration::from_millis(300);
pub(crate) const TTL: Duration = Duration::from_secs(1);

/// Answered with the number twice; not for 13, and 0 is a mistake.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Double {
    pub(crate) number: u32,
}

#[derive(Debug, Serialize, Deserialize, thiserror::Error)]
#[error("{number} is unlucky")]
pub(crate) struct Unlucky {
    pub(crate) number: u32,
}

impl Rejection for Unlucky {}

impl Command for Double {
    const SUBJECT: Subject = Subject::new("yard.double");
    type Outcome = Result<u32, Unlucky>;
}

/// Heard by the yard, which knows three versions of it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Barked;

impl Event for Barked {
    const SUBJECT: Subject = Subject::new("yard.barked");
    const VERSION: u32 = 3;
    fn key(&self) -> Cow<'_, str> {
        Cow::Borrowed("dog")
    }
}

/// Asks the yard, from another domain.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Pass;

impl Command for Pass {
    const SUBJECT: Subject = Subject::new("gate.pass");
    type Outcome = Result<u32, Infallible>;
}

pub(crate) struct Dog;

impl Dog {
    async fn open() -> Result<Self, Failure> {
        Ok(Self)
    }

    async fn heard(&mut self, _: Barked, _: &Context) -> Result<(), Failure> {
        Ok(())
    }

    async fn double(&mut self, double: Double, _: &Context) -> Answer<Double> {
        match double.number {
            0 => Err(Failure::discard("nothing to double").into()),
            13 => Err(Unlucky { number: 13 }.into()),
            number => Ok(2 * number),
        }
    }

    async fn pass(&mut self, _: Pass, ctx: &Context) -> Answer<Pass> {
        Ok(ctx
            .call(Double { number: 21 })
            .await
            .map_err(Failure::discard)?)
    }
}

pub(crate) fn yard() -> Group {
    Group::new("yard").version("1.4.2").child(
        Actor::new("dog", Dog::open)
            .on(Dog::heard)
            .answer(Dog::double),
    )
}

pub(crate) fn gate() -> Group {
    Group::new("gate")
        .depends_on("yard")
        .child(Actor::new("dog", Dog::open).answer(Dog::pass))
}

/// Describes a node that says often that it lives.
pub(crate) fn quick(way: &Way, name: &str) -> Node {
    way.node(name).heartbeat(HEARTBEAT, TTL)
}

/// Returns the nodes that offer a service in good health.
pub(crate) fn nodes(roster: &Roster, service: &str) -> Vec<String> {
    let found = roster.find(&Query::of(service));
    let mut nodes: Vec<_> = found.iter().map(|found| found.node().to_owned()).collect();
    nodes.sort();
    nodes
}

/// Asks the yard over the bus, as a plain client would.
pub(crate) async fn double(way: &Way, number: u32) -> Result<u32, Box<dyn Error>> {
    Ok(way.client().call(Double { number }).await?)
}

impl Dog {
    /// Describes a group whose actor crashes, and does not come back, while told so.
    pub(crate) fn limping() -> impl Fn(Arc<AtomicU8>) -> Group {
        |fails| {
            let lame = Arc::clone(&fails);
            let open = async move || match fails.load(SeqCst) {
                0 => Ok(Self),
                _ => Err(Failure::retry("it limps")),
            };
            let walk = async move |_: &mut Self, _: &Context| match lame.load(SeqCst) {
                0 => Ok(()),
                _ => Err(Failure::crash("it fell")),
            };
            let dog = Actor::new("dog", open).every(Duration::from_millis(20), walk);
            Group::new("kennel")
                .intensity(1_000, Duration::from_secs(1))
                .child(dog)
        }
    }
}
