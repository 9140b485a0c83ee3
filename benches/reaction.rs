//! An event, the reaction to it, and the event that comes of that: published
//! by one process, handled by another, seen by the first, against a plain pull
//! consumer that decodes, publishes with the same headers and acknowledges.
//!
//! Quantity: reactions per second, one at a time and with 64 in flight, each
//! of a key of its own.

mod support;

use async_nats::{
    HeaderMap, Subscriber,
    jetstream::{Context as JetStream, Message, consumer::pull, message::PublishMessage},
};
use callboard::{Actor, Bus, Context, Event, Failure, Group, Node, Subject, message::headers};
use futures_util::{StreamExt, future::join_all};
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, time::Duration};
use support::{
    Outcome, Task,
    child::{Assistant, until_dismissed},
    order::{Order, decode, encode},
    raw::{event_headers, stream},
    round::{Round, compare},
    servers::nats::Server,
};
use tokio::{sync::Notify, time::Instant};

const SLICE: Duration = Duration::from_millis(800);
const LINES: usize = 64;

fn main() -> Outcome {
    match support::task() {
        Task::Measure => support::runtime().block_on(measure()),
        Task::Assist(role) if role[0] == "ours" => support::runtime().block_on(react(&role[1])),
        Task::Assist(role) => support::runtime().block_on(react_raw(&role[1])),
        Task::Nothing => Ok(()),
    }
}

async fn measure() -> Outcome {
    let server = Server::start();
    let url = server.url();
    let context = stream(&url, "bench").await?;
    for domain in ["echo", "raw", "rawecho"] {
        stream(&url, domain).await?;
    }
    let _ours = Assistant::start(&["ours", &url]);
    let _raw = Assistant::start(&["raw", &url]);
    for (name, lines) in [("reaction/1", 1), ("reaction", LINES)] {
        compare(
            name,
            async || fly(&context, ("bench", "echo"), lines).await,
            async || fly(&context, ("raw", "rawecho"), lines).await,
        )
        .await;
    }
    Ok(())
}

/// Publishes one event in each line, and the next once it had its effect.
async fn fly(context: &JetStream, (domain, effects): (&str, &str), lines: usize) -> Round {
    let effects = context
        .client()
        .subscribe(format!("bench.evt.{effects}.*"))
        .await
        .expect("there is a connection");
    let seen: Vec<_> = (0..lines).map(|_| Notify::new()).collect();
    let started = Instant::now();
    let lines = (0..lines).map(async |line| {
        let mut each = Vec::new();
        while started.elapsed() < SLICE {
            let sent = Instant::now();
            let order = Order { key: format!("line-{line:03}"), ..Order::new(0) };
            publish(context, domain, &order.key, event_headers(), encode(&order)).await;
            seen[line].notified().await;
            each.push(sent.elapsed());
        }
        each
    });
    let each = tokio::select! {
        each = join_all(lines) => each.concat(),
        () = watch(effects, &seen) => Vec::new(),
    };
    Round { count: each.len() as u64, took: started.elapsed(), each }
}

/// Wakes the line of each effect.
async fn watch(mut effects: Subscriber, seen: &[Notify]) {
    while let Some(effect) = effects.next().await {
        let line = effect.subject.rsplit('-').next().map(str::parse::<usize>);
        let line = line.and_then(Result::ok).and_then(|line| seen.get(line));
        line.expect("a line asked for it").notify_one();
    }
}

async fn publish(
    context: &JetStream,
    domain: &str,
    key: &str,
    headers: HeaderMap,
    payload: Vec<u8>,
) {
    let message = PublishMessage::build()
        .headers(headers)
        .payload(payload.into());
    let subject = format!("bench.evt.{domain}.{key}");
    let sent = context.send_publish(subject, message).await;
    sent.expect("there is a connection")
        .await
        .expect("it is stored");
}

// ===== ours =====

#[derive(Serialize, Deserialize)]
struct Echoed {
    key: String,
    note: String,
}

impl Event for Echoed {
    const SUBJECT: Subject = Subject::new("echo.echoed");

    fn key(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.key)
    }
}

struct Echo;

impl Echo {
    async fn open() -> Result<Self, Failure> {
        Ok(Self)
    }

    async fn ordered(&mut self, order: Order, ctx: &Context) -> Result<(), Failure> {
        let Order { key, note, .. } = order;
        ctx.publish(Echoed { key, note }).await?;
        Ok(())
    }
}

async fn react(url: &str) -> Outcome {
    // A handler waits for its event to be stored: what is in flight is spread
    // over instances by key.
    let echo = Actor::new("echo", Echo::open)
        .instances(LINES)
        .on(Echo::ordered);
    let node = Node::new("reactor", Bus::nats(url).await?)
        .namespace("bench")
        .group(Group::new("echo").child(echo))
        .start()
        .await?;
    until_dismissed().await;
    Ok(node.stop().await?)
}

// ===== raw =====

async fn react_raw(url: &str) -> Outcome {
    let context = stream(url, "raw").await?;
    let config = pull::Config {
        durable_name: Some("echo".to_owned()),
        max_ack_pending: 2_048,
        ..pull::Config::default()
    };
    let consumer = context
        .create_consumer_on_stream(config, "bench_EVT_raw")
        .await?;
    let messages = consumer.stream().max_messages_per_batch(1_000);
    let reacting = messages
        .messages()
        .await?
        .filter_map(|message| std::future::ready(message.ok()))
        .for_each_concurrent(LINES * 4, |message| echo_raw(&context, message));
    tokio::select! {
        () = reacting => {}
        () = until_dismissed() => {}
    }
    Ok(())
}

async fn echo_raw(context: &JetStream, message: Message) {
    let Order { key, note, .. } = decode(&message.payload);
    let cause = message
        .headers
        .as_ref()
        .and_then(|headers| headers.get_last(headers::CE_ID))
        .expect("it has an id")
        .as_str();
    let mut said = event_headers();
    said.insert(headers::CE_CORRELATION, cause);
    said.insert(headers::CE_CAUSATION, cause);
    let subject = key.clone();
    let payload = rmp_serde::to_vec_named(&Echoed { key, note }).expect("it is plain data");
    publish(context, "rawecho", &subject, said, payload).await;
    message.ack().await.expect("there is a connection");
}
