//! Events into a partitioned stream, each confirmed, against plain publishing
//! with the same headers and window to an equal stream.
//!
//! Quantity: events confirmed per second, 1,024 unconfirmed at any time.

mod support;

use async_nats::jetstream::{Context, message::PublishMessage};
use callboard::{Bus, Client};
use futures_util::{StreamExt, stream};
use std::{cell::Cell, future::Future};
use support::{
    Outcome, Task,
    order::{Order, encode},
    raw::event_headers,
    round::{Round, compare},
    servers::nats::Server,
};
use tokio::time::Instant;

const WINDOW: usize = 1_024;
const COUNT: u64 = 60_000;

fn main() -> Outcome {
    match support::task() {
        Task::Measure => support::runtime().block_on(measure()),
        _ => Ok(()),
    }
}

async fn measure() -> Outcome {
    let server = Server::start();
    let url = server.url();
    let client = Client::new(Bus::nats(&*url).await?, "bench".parse()?);
    let raw = support::raw::stream(&url, "raw").await?;
    let bare = support::raw::stream(&url, "bare").await?;
    let ours = async || fly(|number| publish(&client, number)).await;
    compare("publish/1024", ours, async || {
        fly(|number| publish_raw(&raw, number, true)).await
    })
    .await;
    compare("publish/bare", ours, async || {
        fly(|number| publish_raw(&bare, number, false)).await
    })
    .await;
    Ok(())
}

/// Publishes all events, a window of them at a time.
async fn fly<F: Future<Output = ()>>(work: impl Fn(u64) -> F) -> Round {
    let (started, each) = (Instant::now(), Cell::new(Vec::new()));
    stream::iter(0..COUNT)
        .map(async |number| {
            let sent = Instant::now();
            work(number).await;
            sent.elapsed()
        })
        .buffer_unordered(WINDOW)
        .for_each(|took| {
            let mut all = each.take();
            all.push(took);
            each.set(all);
            std::future::ready(())
        })
        .await;
    Round { count: COUNT, took: started.elapsed(), each: each.into_inner() }
}

async fn publish(client: &Client, number: u64) {
    let stored = client.publish(Order::new(number)).await;
    assert!(stored.is_ok(), "{stored:?}");
}

async fn publish_raw(context: &Context, number: u64, headers: bool) {
    let order = Order::new(number);
    let domain = if headers { "raw" } else { "bare" };
    let subject = format!("bench.evt.{domain}.{}", order.key);
    let mut message = PublishMessage::build().payload(encode(&order).into());
    if headers {
        message = message.headers(event_headers());
    }
    let stored = context
        .send_publish(subject, message)
        .await
        .expect("there is a connection")
        .await;
    assert!(stored.is_ok(), "{stored:?}");
}
