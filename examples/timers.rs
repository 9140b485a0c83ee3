//! A job waits for its time, and is done then: who has not paid is reminded.
//!
//! ```text
//! $ cargo run --example timers
//! o-1 has paid in time: true
//! o-2 is reminded
//! o-2 has paid in time: false
//! ```

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use callboard::{Actor, Answer, Bus, Command, Context, Failure, Group, Infallible, Node, Subject};
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, error::Error, time::Duration};
use tokio::sync::mpsc;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (letters, mut sent) = mpsc::channel(8);
    let clerk = Actor::new("clerk", async move || Ok(Clerk(letters.clone()))).answer(Clerk::remind);
    // In memory; over `Bus::embedded_at` and `Bus::nats` jobs outlive the process.
    let node = Node::new("node-1", Bus::embedded())
        .group(Group::new("orders").child(clerk))
        .start()
        .await?;
    let client = node.client();
    for order in ["o-1", "o-2"] {
        client
            .send_in(Remind(order.to_owned()), Duration::from_secs(1))
            .named("unpaid")
            .await?;
    }
    let in_time = client.cancel::<Remind>("o-1", "unpaid").await?;
    println!("o-1 has paid in time: {in_time}");
    if let Some(order) = sent.recv().await {
        println!("{order} is reminded");
    }
    let in_time = client.cancel::<Remind>("o-2", "unpaid").await?;
    println!("o-2 has paid in time: {in_time}");
    node.stop().await?;
    Ok(())
}

#[derive(Debug, Serialize, Deserialize)]
struct Remind(String);

impl Command for Remind {
    const SUBJECT: Subject = Subject::new("orders.remind");
    type Outcome = Result<(), Infallible>;

    fn key(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.0)
    }
}

/// Writes a letter for each reminder.
struct Clerk(mpsc::Sender<String>);

impl Clerk {
    async fn remind(&mut self, remind: Remind, _: &Context) -> Answer<Remind> {
        self.0.send(remind.0).await.map_err(Failure::retry)?;
        Ok(())
    }
}
