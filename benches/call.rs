//! A command to another process over NATS, against a plain request to a plain
//! queue subscriber with the same headers and payload.
//!
//! Quantity: commands answered per second, with 1, 64 and 256 in flight.

mod support;

use async_nats::{Client as Raw, Request};
use callboard::{Bus, Client, Node};
use futures_util::StreamExt;
use std::{future::Future, time::Duration};
use support::{
    Outcome, Task,
    child::{Assistant, until_dismissed},
    desk,
    order::{Order, decode, encode},
    raw::{command_headers, connect},
    round::{Round, compare},
    servers::nats::Server,
};
use tokio::{task::JoinSet, time::Instant};

const SLICE: Duration = Duration::from_millis(600);
const SUBJECT: &str = "bench.raw.order";

fn main() -> Outcome {
    match support::task() {
        Task::Measure => support::runtime().block_on(measure()),
        Task::Assist(role) if role[0] == "ours" => support::runtime().block_on(answer(&role[1])),
        Task::Assist(role) => support::runtime().block_on(answer_raw(&role[1])),
        Task::Nothing => Ok(()),
    }
}

async fn measure() -> Outcome {
    let server = Server::start();
    let url = server.url();
    let _ours = Assistant::start(&["ours", &url]);
    let _raw = Assistant::start(&["raw", &url]);
    let client = Client::new(Bus::nats(&*url).await?, "bench".parse()?);
    let raw = connect(&url).await?;
    let ours = move || call(client.clone());
    let raw = |headers| {
        let client = raw.clone();
        move || call_raw(client.clone(), headers)
    };
    for window in [1, 64, 256] {
        let name = format!("call/{window}");
        let (ours, raw) = (ours.clone(), raw(true));
        compare(
            &name,
            async || fly(window, ours.clone()).await,
            async || fly(window, raw.clone()).await,
        )
        .await;
    }
    let raw = raw(false);
    compare(
        "call/bare",
        async || fly(256, ours.clone()).await,
        async || fly(256, raw.clone()).await,
    )
    .await;
    Ok(())
}

/// Keeps this many in flight for a while.
async fn fly<F>(window: usize, work: impl Fn() -> F + Clone + Send + 'static) -> Round
where
    F: Future<Output = ()> + Send + 'static,
{
    let (started, mut flying) = (Instant::now(), JoinSet::new());
    for _ in 0..window {
        let work = work.clone();
        flying.spawn(async move {
            let mut each = Vec::new();
            while started.elapsed() < SLICE {
                let sent = Instant::now();
                work().await;
                each.push(sent.elapsed());
            }
            each
        });
    }
    let each: Vec<_> = flying.join_all().await.into_iter().flatten().collect();
    Round { count: each.len() as u64, took: started.elapsed(), each }
}

// ===== ours =====

async fn call(client: Client) {
    let answer = client.call(Order::new(7)).await;
    assert!(answer.is_ok(), "{answer:?}");
}

async fn answer(url: &str) -> Outcome {
    let node = Node::new("callee", Bus::nats(url).await?)
        .namespace("bench")
        .group(desk::group())
        .start()
        .await?;
    until_dismissed().await;
    Ok(node.stop().await?)
}

// ===== raw =====

async fn call_raw(client: Raw, headers: bool) {
    let mut request = Request::new().payload(encode(&Order::new(7)).into());
    if headers {
        request = request.headers(command_headers());
    }
    let answer = client.send_request(SUBJECT, request).await;
    decode(&answer.expect("it is answered").payload);
}

async fn answer_raw(url: &str) -> Outcome {
    let client = connect(url).await?;
    let mut orders = client.queue_subscribe(SUBJECT, "bench".to_owned()).await?;
    client.flush().await?;
    let answering = async {
        while let Some(message) = orders.next().await {
            let answer = encode(&decode(&message.payload)).into();
            let Some(reply) = message.reply else { continue };
            if client.publish(reply, answer).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = answering => {}
        () = until_dismissed() => {}
    }
    Ok(())
}
