//! Steps that are all done, or all undone in reverse.
//!
//! ```text
//! $ cargo run --example saga
//! holds o-1
//! o-1: it completed
//! holds o-2
//! frees o-2
//! o-2: all was undone, because the card is good for 100
//! ```

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use callboard::{
    Abort, Actor, Answer, Bus, Command, Context, Group, Infallible, Node, Rejection, Saga, Steps,
    Subject, saga::Sagas,
};
use serde::{Deserialize, Serialize};
use std::{error::Error, time::Duration};

const WITHIN: Duration = Duration::from_secs(5);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // A real desk is an entity, which knows the id of a command that it has seen.
    let desk = Actor::new("desk", async || Ok(())).answer(hold);
    let shop = Group::new("shop").child(desk.answer(free).answer(pay));
    let shop = shop.child(Saga::new("checkout", checkout));
    let node = Node::new("node-1", Bus::embedded()).group(shop);
    let node = node.start().await?;
    let checkouts = Sagas::open(&node.client(), "checkout").await?;
    for (order, amount) in [("o-1", 20), ("o-2", 200)] {
        checkouts.start(order, &(order, amount)).await?;
        checkouts.wait::<String>(order, WITHIN).await?;
        println!("{order}: {}", checkouts.status(order).await?.why());
    }
    Ok(node.stop().await?)
}

/// Holds the goods, then takes the money. What undoes a step is stored with it.
async fn checkout(steps: &mut Steps, (order, amount): (String, u64)) -> Result<String, Abort> {
    let back = Free(order.clone());
    steps.call(Hold(order.clone())).undo(|()| back).await?;
    steps.call(Pay(amount)).await?;
    Ok(format!("{order} is on its way"))
}

macro_rules! command {
    ($name:ident($content:ty) $subject:literal or $no:ty) => {
        #[derive(Serialize, Deserialize)]
        struct $name($content);
        impl Command for $name {
            const SUBJECT: Subject = Subject::new($subject);
            type Outcome = Result<(), $no>;
        }
    };
}
command!(Hold(String) "shop.hold" or Infallible);
command!(Free(String) "shop.free" or Infallible);
command!(Pay(u64) "shop.pay" or Declined);

#[derive(Debug, Serialize, Deserialize, thiserror::Error)]
#[error("the card is good for {0}")]
struct Declined(u64);
impl Rejection for Declined {}

async fn hold((): &mut (), hold: Hold, _: &Context) -> Answer<Hold> {
    println!("holds {}", hold.0);
    Ok(())
}
async fn free((): &mut (), free: Free, _: &Context) -> Answer<Free> {
    println!("frees {}", free.0);
    Ok(())
}
async fn pay((): &mut (), pay: Pay, _: &Context) -> Answer<Pay> {
    match pay.0 {
        0..=100 => Ok(()),
        _ => Err(Declined(100).into()),
    }
}
