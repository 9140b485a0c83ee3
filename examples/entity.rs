//! An account is its events, and outlives its node.
//!
//! ```text
//! $ cargo run --example entity
//! ada has 70
//! ada may not: only 70 are there
//! another node, a deposit: ada has 100
//! the same again: ada has 100
//! ```

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use callboard::{Bus, Command, Entity, Event, Group, Node, Rejection, Subject};
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, error::Error};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // In memory; over `Bus::embedded_at` and `Bus::nats` it outlives the process.
    let bus = Bus::embedded();
    let node = Node::new("node-1", bus.clone()).group(bank());
    let node = node.start().await?;
    let client = node.client();
    client.call(Move("ada".into(), 100)).await?;
    println!("ada has {}", client.call(Move("ada".into(), -30)).await?);
    if let Err(short) = client.call(Move("ada".into(), -80)).outcome().await? {
        println!("ada may not: {short}");
    }
    node.stop().await?;

    let node = Node::new("node-2", bus).group(bank()).start().await?;
    let client = node.client();
    for times in ["another node, a deposit", "the same again"] {
        let deposit = client.call(Move("ada".into(), 30)).id("deposit-7".into());
        println!("{times}: ada has {}", deposit.await?);
    }
    Ok(node.stop().await?)
}

fn bank() -> Group {
    let account = Entity::new("account", || Balance(0))
        .decide(Balance::decide)
        .apply(|balance: &mut Balance, moved: &Moved| balance.0 += moved.1);
    Group::new("bank").child(account)
}

struct Balance(i64);
impl Balance {
    /// Decides on the state alone; what it returns is stored, then applied.
    fn decide(&self, Move(user, amount): Move) -> Result<(Moved, i64), Short> {
        match self.0 + amount {
            after @ 0.. => Ok((Moved(user, amount), after)),
            _ => Err(Short(self.0)),
        }
    }
}

#[derive(Clone, Serialize, Deserialize)]
struct Move(String, i64);
impl Command for Move {
    const SUBJECT: Subject = Subject::new("bank.move");
    type Outcome = Result<i64, Short>;
    fn key(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.0)
    }
}

#[derive(Serialize, Deserialize)]
struct Moved(String, i64);
impl Event for Moved {
    const SUBJECT: Subject = Subject::new("bank.moved");
    fn key(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.0)
    }
}

#[derive(Debug, Serialize, Deserialize, thiserror::Error)]
#[error("only {0} are there")]
struct Short(i64);
impl Rejection for Short {}
