//! Code that changes under a live saga: it goes on, or says why it cannot.
//!
//! ```text
//! $ cargo run --example saga_changed
//! with a step more where it has not come to: Completed("packed, weighed, sent")
//! with a step that is gone: Parked("its code does not come to `first` any more, which its journal has; run it with the code that it began with, or compensate it")
//! ```

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use callboard::{
    Abort, Bus, Group, Node, Running, Saga, Steps,
    saga::{SagaOutcome, Sagas},
};
use std::{error::Error, time::Duration};

/// Short enough for an example, long enough to leave memory.
const NIGHT: Duration = Duration::from_secs(3);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let longer = changed(Saga::new("parcel", longer)).await?;
    println!("with a step more where it has not come to: {longer:?}");
    let shorter = changed(Saga::new("parcel", shorter)).await?;
    println!("with a step that is gone: {shorter:?}");
    Ok(())
}

/// The code of yesterday.
async fn parcel(steps: &mut Steps, (): ()) -> Result<String, Abort> {
    steps.sleep(Duration::from_millis(10)).named("first").await;
    steps.sleep(NIGHT).named("night").await;
    Ok("packed, sent".to_owned())
}

/// The code of today has a step more, after the night.
async fn longer(steps: &mut Steps, (): ()) -> Result<String, Abort> {
    steps.sleep(Duration::from_millis(10)).named("first").await;
    steps.sleep(NIGHT).named("night").await;
    steps.sleep(Duration::from_millis(10)).named("weigh").await;
    Ok("packed, weighed, sent".to_owned())
}

/// Other code of today lacks a step that was taken.
async fn shorter(steps: &mut Steps, (): ()) -> Result<String, Abort> {
    steps.sleep(NIGHT).named("night").await;
    Ok("sent".to_owned())
}

/// Begins a parcel with yesterday's code, and goes on with today's.
async fn changed(today: Saga<(), String>) -> Result<SagaOutcome<String>, Box<dyn Error>> {
    let bus = Bus::embedded();
    let yesterday = node(&bus, Saga::new("parcel", parcel)).await?;
    let parcels = Sagas::open(&yesterday.client(), "parcel").await?;
    parcels.start("p-1", &()).await?;
    while !matches!(parcels.status("p-1").await, Ok(saga) if saga.steps.len() == 2) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    yesterday.stop().await?;
    let node = node(&bus, today).await?;
    let outcome = parcels.wait("p-1", Duration::from_secs(20)).await?;
    node.stop().await?;
    Ok(outcome)
}

async fn node(bus: &Bus, saga: Saga<(), String>) -> Result<Running, Box<dyn Error>> {
    let node = Node::new("node-1", bus.clone()).group(Group::new("post").child(saga));
    Ok(node.start().await?)
}
