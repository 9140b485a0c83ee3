//! Stored events into an actor's handler, each acknowledged, against a plain
//! pull consumer that decodes and acknowledges, and against eight pinned ones.
//!
//! Quantity: events handled per second, from the first to the last.

mod support;

use async_nats::jetstream::{
    Context as JetStream, Message,
    consumer::{PriorityPolicy, pull},
    message::PublishMessage,
};
use callboard::{Actor, Bus, Context, Failure, Group, Node};
use futures_util::{Stream, StreamExt, stream};
use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};
use support::{
    Outcome, Task,
    order::{Order, decode, encode},
    raw::event_headers,
    round::{Round, compare},
    servers::nats::Server,
};
use tokio::sync::Notify;

const COUNT: u64 = 60_000;
const STREAM: &str = "bench_EVT_bench";
const PARTITIONS: usize = 8;

fn main() -> Outcome {
    match support::task() {
        Task::Measure => support::runtime().block_on(measure()),
        _ => Ok(()),
    }
}

async fn measure() -> Outcome {
    let server = Server::start();
    let url = server.url();
    let raw = support::raw::stream(&url, "bench").await?;
    fill(&raw).await;
    let ours = async || consume(&url).await.expect("the node runs");
    compare("consume", ours, async || {
        consume_raw(&raw, 1).await.expect("the server answers")
    })
    .await;
    compare("consume/pinned", ours, async || {
        let round = consume_raw(&raw, PARTITIONS).await;
        round.expect("the server answers")
    })
    .await;
    Ok(())
}

/// Publishes the events that all will consume.
async fn fill(context: &JetStream) {
    stream::iter(0..COUNT)
        .map(async |number| {
            let order = Order::new(number);
            let message = PublishMessage::build()
                .headers(event_headers())
                .payload(encode(&order).into());
            let subject = format!("bench.evt.bench.{}", order.key);
            let stored = context
                .send_publish(subject, message)
                .await
                .expect("there is a connection")
                .await;
            assert!(stored.is_ok(), "{stored:?}");
        })
        .buffer_unordered(1_024)
        .count()
        .await;
}

/// A name that no consumer had yet.
fn new_name() -> &'static str {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    format!("reader-{}", COUNT.fetch_add(1, Relaxed)).leak()
}

// ===== ours =====

#[derive(Default)]
struct Progress {
    first: OnceLock<Instant>,
    took: OnceLock<Duration>,
    count: AtomicU64,
    done: Notify,
}

struct Reader(Arc<Progress>);

impl Reader {
    async fn ordered(&mut self, order: Order, _: &Context) -> Result<(), Failure> {
        std::hint::black_box(order);
        let first = self.0.first.get_or_init(Instant::now);
        if self.0.count.fetch_add(1, Relaxed) + 1 == COUNT {
            self.0.took.set(first.elapsed()).ok();
            self.0.done.notify_one();
        }
        Ok(())
    }
}

async fn consume(url: &str) -> Outcome<Round> {
    let progress = Arc::new(Progress::default());
    let shared = Arc::clone(&progress);
    let open = async move || Ok(Reader(Arc::clone(&shared)));
    let reader = Actor::new(new_name(), open).on(Reader::ordered);
    let node = Node::new("reader", Bus::nats(url).await?)
        .namespace("bench")
        .group(Group::new("bench").child(reader))
        .start()
        .await?;
    progress.done.notified().await;
    node.stop().await?;
    let took = progress.took.get().expect("it is done");
    Ok(Round::of(COUNT, *took))
}

// ===== raw =====

/// Consumes with one consumer of all, or a pinned one of each partition.
async fn consume_raw(context: &JetStream, consumers: usize) -> Outcome<Round> {
    let name = new_name();
    let mut messages = Vec::new();
    for partition in 0..consumers {
        let name = format!("{name}-{partition}");
        let pinned = (consumers > 1).then_some(partition);
        messages.push(Box::pin(pull(context, name, pinned).await?));
    }
    let mut messages = stream::select_all(messages);
    let (mut first, mut count) = (None, 0);
    while count < COUNT {
        let message = messages.next().await.ok_or("the consumer ended")?;
        let _: &mut Instant = first.get_or_insert_with(Instant::now);
        std::hint::black_box(decode(&message.payload));
        message.ack().await.map_err(|error| error.to_string())?;
        count += 1;
    }
    let took = first.ok_or("there are events")?.elapsed();
    for partition in 0..consumers {
        let name = format!("{name}-{partition}");
        context.delete_consumer_from_stream(name, STREAM).await?;
    }
    Ok(Round::of(COUNT, took))
}

async fn pull(
    context: &JetStream,
    name: String,
    partition: Option<usize>,
) -> Outcome<impl Stream<Item = Message> + use<>> {
    let mut config = pull::Config {
        durable_name: Some(name),
        max_ack_pending: 4_096,
        ..pull::Config::default()
    };
    if let Some(partition) = partition {
        config.filter_subject = format!("bench.evt.bench.{partition}.*");
        config.priority_policy = PriorityPolicy::PinnedClient;
        config.priority_groups = vec!["one".to_owned()];
        config.priority_timeout = Duration::from_secs(6);
        config.max_ack_pending = 256;
    }
    let consumer = context.create_consumer_on_stream(config, STREAM).await?;
    let messages = consumer.stream();
    let messages = if partition.is_some() {
        messages.max_messages_per_batch(256).group("one")
    } else {
        messages.max_messages_per_batch(1_000)
    };
    let messages = messages.messages().await?;
    Ok(messages.filter_map(|message| std::future::ready(message.ok())))
}
