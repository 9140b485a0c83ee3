//! Two nodes over NATS: one takes orders, the other takes the money. Neither
//! knows where the other runs; both could be processes of their own.
//!
//! It needs a server: `nats-server -js`, at `localhost:4222` or at `CALLBOARD_NATS`.
//!
//! ```text
//! $ cargo run --example two_nodes
//! back: charged 2500 for o-1
//! front: o-1 is paid
//! ```

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use callboard::{Actor, Answer, Bus, Command, Context, Event, Failure, Group, Infallible, Node};
use callboard::{Running, Subject};
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, env, error::Error};
use tokio::sync::mpsc;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = env::var("CALLBOARD_NATS").unwrap_or_else(|_| "nats://localhost:4222".to_owned());
    let (done, mut next) = mpsc::channel(1);
    let till = Actor::new("till", async || Ok(Till)).answer(Till::charge);
    let desk = Actor::new("desk", async move || Ok(Desk { done: done.clone() })).on(Desk::paid);
    let back = start("back", &url, Group::new("payments").child(till)).await?;
    let front = start("front", &url, Group::new("orders").child(desk)).await?;
    let charge = Charge { order: "o-1".to_owned(), amount: 2_500 };
    front.client().call(charge).await?;
    let paid = next.recv().await.ok_or("the desk is gone")?;
    println!("front: {paid} is paid");
    front.stop().await?;
    back.stop().await?;
    Ok(())
}

async fn start(name: &str, url: &str, group: Group) -> Result<Running, Box<dyn Error>> {
    let bus = Bus::nats(url).await?;
    let node = Node::new(name, bus).namespace("two-nodes").group(group);
    Ok(node.start().await?)
}

#[derive(Debug, Serialize, Deserialize)]
struct Charge {
    order: String,
    amount: u64,
}

impl Command for Charge {
    const SUBJECT: Subject = Subject::new("payments.charge");
    type Outcome = Result<(), Infallible>;
}

#[derive(Debug, Serialize, Deserialize)]
struct Paid(String);

impl Event for Paid {
    const SUBJECT: Subject = Subject::new("payments.paid");
    fn key(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.0)
    }
}

struct Till;
impl Till {
    async fn charge(&mut self, charge: Charge, ctx: &Context) -> Answer<Charge> {
        println!("back: charged {} for {}", charge.amount, charge.order);
        ctx.publish(Paid(charge.order)).await?;
        Ok(())
    }
}

struct Desk {
    done: mpsc::Sender<String>,
}
impl Desk {
    async fn paid(&mut self, paid: Paid, _: &Context) -> Result<(), Failure> {
        Ok(self.done.send(paid.0).await?)
    }
}
