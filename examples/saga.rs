//! Steps over two domains that are all done, or all undone in reverse.
//!
//! ```text
//! $ cargo run --example saga
//! the shelf holds o-1
//! the till takes 20 for o-1
//! o-1: Completed("o-1 is on its way")
//! the shelf holds o-2
//! the till declines 200 for o-2
//! the shelf frees o-2
//! o-2: undone, because the card is good for 100
//! ```

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use callboard::{
    Abort, Actor, Answer, Bus, Command, Context, Failure, Group, Infallible, Node, Rejection, Saga,
    Steps, Subject,
    saga::{SagaOutcome, Sagas},
};
use serde::{Deserialize, Serialize};
use std::{error::Error, time::Duration};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let node = Node::new("node-1", Bus::embedded())
        .group(Group::new("shelf").child(shelf()))
        .group(Group::new("till").child(till()))
        .group(Group::new("orders").child(Saga::new("checkout", checkout)))
        .start()
        .await?;
    let checkouts = Sagas::open(&node.client(), "checkout").await?;
    for (order, amount) in [("o-1", 20), ("o-2", 200)] {
        checkouts.start(order, &(order, amount)).await?;
        match checkouts
            .wait::<String>(order, Duration::from_secs(5))
            .await?
        {
            SagaOutcome::Compensated(abort) => println!("{order}: undone, because {abort}"),
            outcome => println!("{order}: {outcome:?}"),
        }
    }
    node.stop().await?;
    Ok(())
}

/// Holds the goods, then takes the money. What undoes a step is a command that
/// is stored with it: whichever node goes on, this code is not asked again.
async fn checkout(steps: &mut Steps, (order, amount): (String, u64)) -> Result<String, Abort> {
    let back = Free(order.clone());
    steps.call(Hold(order.clone())).undo(|()| back).await?;
    steps.call(Pay { order: order.clone(), amount }).await?;
    Ok(format!("{order} is on its way"))
}

#[derive(Serialize, Deserialize)]
struct Hold(String);

impl Command for Hold {
    const SUBJECT: Subject = Subject::new("shelf.hold");
    type Outcome = Result<(), Infallible>;
}

#[derive(Serialize, Deserialize)]
struct Free(String);

impl Command for Free {
    const SUBJECT: Subject = Subject::new("shelf.free");
    type Outcome = Result<(), Infallible>;
}

#[derive(Serialize, Deserialize)]
struct Pay {
    order: String,
    amount: u64,
}

impl Command for Pay {
    const SUBJECT: Subject = Subject::new("till.pay");
    type Outcome = Result<(), Declined>;
}

#[derive(Debug, Serialize, Deserialize, thiserror::Error)]
#[error("the card is good for {0}")]
struct Declined(u64);

impl Rejection for Declined {}

/// A real one is an entity, which knows the id of a command that it has seen.
fn shelf() -> Actor<()> {
    Actor::new("shelf", async || Ok::<_, Failure>(()))
        .answer(
            async |(): &mut (), hold: Hold, _: &Context| -> Answer<Hold> {
                println!("the shelf holds {}", hold.0);
                Ok(())
            },
        )
        .answer(
            async |(): &mut (), free: Free, _: &Context| -> Answer<Free> {
                println!("the shelf frees {}", free.0);
                Ok(())
            },
        )
}

fn till() -> Actor<()> {
    Actor::new("till", async || Ok::<_, Failure>(())).answer(
        async |(): &mut (), pay: Pay, _: &Context| -> Answer<Pay> {
            let Pay { order, amount } = pay;
            if amount > 100 {
                println!("the till declines {amount} for {order}");
                return Err(Declined(100).into());
            }
            println!("the till takes {amount} for {order}");
            Ok(())
        },
    )
}
