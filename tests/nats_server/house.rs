//! A small domain: a bell that rings, and a porter who counts.

use callboard::{
    Actor, Answer, Bus, Command, Context, Event, Failure, Group, Infallible, Node, Projection,
    Subject,
    projection::{Lag, Seen},
};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Rang {
    pub(crate) bell: String,
}

impl Event for Rang {
    const SUBJECT: Subject = Subject::new("house.rang");

    fn key(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.bell)
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Ring {
    pub(crate) bell: String,
}

impl Command for Ring {
    const SUBJECT: Subject = Subject::new("house.ring");
    type Outcome = Result<(), Infallible>;
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Count;

impl Command for Count {
    const SUBJECT: Subject = Subject::new("house.count");
    type Outcome = Result<u64, Infallible>;
}

async fn ring((): &mut (), ring: Ring, ctx: &Context) -> Answer<Ring> {
    ctx.publish(Rang { bell: ring.bell })
        .await
        .map_err(Failure::from)?;
    Ok(())
}

async fn rang((): &mut (), _: Rang, _: &Context) -> Result<(), Failure> {
    Ok(())
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Rings(u64);

impl Rings {
    fn rang(&mut self, _: &Rang, _: &Seen) {
        self.0 += 1;
    }

    fn count(&self, _: &Count, _: &Lag) -> Answer<Count> {
        Ok(self.0)
    }
}

pub(crate) fn node(name: &str, bus: &Bus) -> Node {
    let open = async || Ok::<_, Failure>(());
    let group = Group::new("house")
        .child(Actor::new("bell", open).answer(ring))
        .child(Actor::new("porter", open).on(rang))
        .child(
            Projection::new("rings", Rings::default)
                .fold(Rings::rang)
                .answer(Rings::count),
        );
    Node::new(name, bus.clone()).namespace("shop").group(group)
}
