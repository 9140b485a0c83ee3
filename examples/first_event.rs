//! A first event: the program publishes a fact, and an actor hears it.
//!
//! ```text
//! $ cargo run --example first_event
//! stored as number 1 of the orders' stream
//! the desk heard: o-1 was placed for 2500
//! ```

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use callboard::{Actor, Bus, Context, Event, Failure, Group, Node, Subject};
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, error::Error};
use tokio::sync::mpsc;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (heard, mut next) = mpsc::channel(1);
    let desk = Actor::new("desk", move || Desk::open(heard.clone())).on(Desk::order_placed);
    let node = Node::new("node-1", Bus::embedded())
        .group(Group::new("desk").child(desk))
        .start()
        .await?;

    let placed = OrderPlaced { order: "o-1".to_owned(), total: 2_500 };
    let stored = node.client().publish(placed).await?;
    println!("stored as number {} of the orders' stream", stored.sequence);

    let OrderPlaced { order, total } = next.recv().await.ok_or("the desk is gone")?;
    println!("the desk heard: {order} was placed for {total}");
    node.stop().await?;
    Ok(())
}

/// A fact: its type is `orders.placed`, and it happened to one order.
#[derive(Debug, Serialize, Deserialize)]
struct OrderPlaced {
    order: String,
    total: u64,
}

impl Event for OrderPlaced {
    const SUBJECT: Subject = Subject::new("orders.placed");

    fn key(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.order)
    }
}

/// Hears of orders, and passes them on to the program around it.
struct Desk {
    heard: mpsc::Sender<OrderPlaced>,
}

impl Desk {
    async fn open(heard: mpsc::Sender<OrderPlaced>) -> Result<Self, Failure> {
        Ok(Self { heard })
    }

    async fn order_placed(&mut self, placed: OrderPlaced, _: &Context) -> Result<(), Failure> {
        self.heard.send(placed).await?;
        Ok(())
    }
}
