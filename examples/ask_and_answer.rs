//! Ask and answer: a command gets its reply, or the domain's typed "no".
//!
//! ```text
//! $ cargo run --example ask_and_answer
//! charged 2500, 7500 left
//! declined: over the limit of 5000
//! charged 4000, 3500 left
//! ```

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use callboard::{Actor, Answer, Bus, Command, Context, Failure, Group, Node, Rejection, Subject};
use serde::{Deserialize, Serialize};
use std::error::Error;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let till = Actor::new("till", Till::open).answer(Till::charge);
    let node = Node::new("node-1", Bus::embedded())
        .group(Group::new("payments").child(till))
        .start()
        .await?;
    let client = node.client();
    for amount in [2_500, 6_000, 4_000] {
        // `?` is for trouble; a rejection is an answer like any other.
        match client.call(Charge { amount }).outcome().await? {
            Ok(receipt) => println!("charged {amount}, {} left", receipt.left),
            Err(declined) => println!("declined: {declined}"),
        }
    }
    node.stop().await?;
    Ok(())
}

/// A request to the domain `payments`.
#[derive(Debug, Serialize, Deserialize)]
struct Charge {
    amount: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Receipt {
    left: u64,
}

#[derive(Debug, Serialize, Deserialize, thiserror::Error)]
enum Declined {
    #[error("over the limit of {limit}")]
    OverLimit { limit: u64 },
}

impl Rejection for Declined {}

impl Command for Charge {
    const SUBJECT: Subject = Subject::new("payments.charge");
    type Outcome = Result<Receipt, Declined>;
}

/// Takes money from one account.
struct Till {
    left: u64,
}

impl Till {
    async fn open() -> Result<Self, Failure> {
        Ok(Self { left: 10_000 })
    }

    async fn charge(&mut self, charge: Charge, _: &Context) -> Answer<Charge> {
        let limit = self.left.min(5_000);
        if charge.amount > limit {
            return Err(Declined::OverLimit { limit }.into());
        }
        self.left -= charge.amount;
        Ok(Receipt { left: self.left })
    }
}
