//! A supervised group survives a panic: the caller gets an error, the neighbour
//! does not notice, and the actor starts over with fresh state.
//!
//! ```text
//! $ cargo run --example supervised_group
//! 12 / 4 = 3, answer 1
//! the neighbour has counted 1
//! 7 / 0: calculator.divide failed: it panicked: attempt to divide by zero
//! the neighbour has counted 2
//! 8 / 2 = 4, answer 1
//! the neighbour has counted 3
//! ```

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use callboard::{Actor, Answer, Bus, Command, Context, Group, Infallible, Node, Subject};
use serde::{Deserialize, Serialize};
use std::error::Error;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let divider = Actor::new("divider", async || Ok(Divider(0))).answer(Divider::divide);
    let counter = Actor::new("counter", async || Ok(Counter(0))).answer(Counter::count);
    let group = Group::new("calculator").child(divider).child(counter);
    let node = Node::new("node-1", Bus::embedded())
        .group(group)
        .start()
        .await?;
    let client = node.client();
    for (a, b) in [(12, 4), (7, 0), (8, 2)] {
        match client.call(Divide(a, b)).await {
            Ok((quotient, answers)) => println!("{a} / {b} = {quotient}, answer {answers}"),
            Err(error) => println!("{a} / {b}: {error}"),
        }
        println!("the neighbour has counted {}", client.call(Count).await?);
    }
    node.stop().await?;
    Ok(())
}

#[derive(Debug, Serialize, Deserialize)]
struct Divide(u64, u64);

impl Command for Divide {
    const SUBJECT: Subject = Subject::new("calculator.divide");
    type Outcome = Result<(u64, u32), Infallible>;
}

#[derive(Debug, Serialize, Deserialize)]
struct Count;

impl Command for Count {
    const SUBJECT: Subject = Subject::new("calculator.count");
    type Outcome = Result<u32, Infallible>;
}

/// Counts its answers, until it panics.
struct Divider(u32);

impl Divider {
    async fn divide(&mut self, divide: Divide, _: &Context) -> Answer<Divide> {
        self.0 += 1;
        Ok((divide.0 / divide.1, self.0))
    }
}

struct Counter(u32);

impl Counter {
    async fn count(&mut self, _: Count, _: &Context) -> Answer<Count> {
        self.0 += 1;
        Ok(self.0)
    }
}
