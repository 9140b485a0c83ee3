//! A saga waits for an event, or for its time; meanwhile it is in no memory.
//!
//! ```text
//! $ cargo run --example saga_timer
//! o-1: Completed("cleared by Ada")
//! o-2: undone, because nobody cleared it in time
//! ```

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use callboard::{
    Abort, Bus, Event, Group, Node, Saga, Steps, Subject,
    saga::{SagaOutcome, Sagas},
};
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, error::Error, time::Duration};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let screening = Saga::new("screening", screen).hears(|cleared: &Cleared| cleared.order.clone());
    // In memory; over `Bus::embedded_at` and `Bus::nats` the wait outlives the process.
    let node = Node::new("node-1", Bus::embedded())
        .group(Group::new("orders").child(screening))
        .start()
        .await?;
    let client = node.client();
    let screenings = Sagas::open(&client, "screening").await?;
    for order in ["o-1", "o-2"] {
        screenings.start(order, &order).await?;
    }
    client
        .publish(Cleared { order: "o-1".into(), by: "Ada".into() })
        .await?;
    for order in ["o-1", "o-2"] {
        match screenings
            .wait::<String>(order, Duration::from_secs(20))
            .await?
        {
            SagaOutcome::Compensated(abort) => println!("{order}: undone, because {abort}"),
            outcome => println!("{order}: {outcome:?}"),
        }
    }
    node.stop().await?;
    Ok(())
}

/// Waits for somebody to clear an order. In earnest that is 24 h.
async fn screen(steps: &mut Steps, order: String) -> Result<String, Abort> {
    let wait = Duration::from_secs(3);
    match steps.wait_for::<Cleared>(order, wait).await {
        Some(cleared) => Ok(format!("cleared by {}", cleared.by)),
        None => Err(Abort::new("nobody cleared it in time")),
    }
}

#[derive(Serialize, Deserialize)]
struct Cleared {
    order: String,
    by: String,
}

impl Event for Cleared {
    const SUBJECT: Subject = Subject::new("fraud.cleared");

    fn key(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.order)
    }
}
