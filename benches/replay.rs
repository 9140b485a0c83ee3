//! Building an entity from its events: over NATS against an ordered consumer
//! that decodes the same events, and from a directory against decoding alone.
//!
//! Quantity: events per second, 50,000 of one key.

mod support;

use async_nats::jetstream::consumer::{DeliverPolicy, pull::OrderedConfig};

use callboard::{
    Bus, Client, Command, Decision, Entity, Event, Group, Infallible, Node, Running, Subject,
    message::codec,
};
use futures_util::{StreamExt, stream};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use support::{
    Outcome, Task,
    raw::connect,
    round::{Round, compare},
    servers::{folder::Folder, nats::Server},
};
use tokio::time::Instant;

const EVENTS: u64 = 50_000;

fn main() -> Outcome {
    match support::task() {
        Task::Measure => support::runtime().block_on(measure()),
        _ => Ok(()),
    }
}

#[derive(Clone, Serialize, Deserialize)]
struct Weigh {
    jar: String,
}

impl Command for Weigh {
    const SUBJECT: Subject = Subject::new("jars.weigh");
    type Outcome = Result<u64, Infallible>;

    fn key(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.jar)
    }
}

#[derive(Serialize, Deserialize)]
struct Filled {
    jar: String,
    grams: u64,
    note: String,
}

impl Filled {
    fn new() -> Self {
        let note = "leave it with the neighbours on the ground floor, any day before noon..";
        Self { jar: "j".into(), grams: 3, note: note.into() }
    }
}

impl Event for Filled {
    const SUBJECT: Subject = Subject::new("jars.filled");

    fn key(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.jar)
    }
}

#[derive(Default)]
struct Jar {
    grams: u64,
}

/// Starts a node that knows nothing yet.
async fn node(bus: Bus, name: &str) -> Outcome<Running> {
    let jar = Entity::new("jar", Jar::default)
        .decide(|jar: &Jar, _: Weigh| Ok(Decision::nothing().reply(jar.grams)))
        .apply(|jar: &mut Jar, filled: &Filled| jar.grams += filled.grams);
    let node = Node::new(name, bus)
        .namespace("bench")
        .group(Group::new("jars").child(jar));
    Ok(node.start().await?)
}

async fn fill(client: &Client) -> Outcome {
    let mut filling = stream::iter(0..EVENTS)
        .map(async |_| client.publish(Filled::new()).await)
        .buffer_unordered(1_024);
    while let Some(stored) = filling.next().await {
        stored?;
    }
    Ok(())
}

/// Asks a new node for the weight: it goes through all events.
async fn load(bus: Bus, name: &str) -> Round {
    let node = node(bus, name).await.expect("it starts");
    let started = Instant::now();
    let grams = node.client().call(Weigh { jar: "j".into() }).await;
    let took = started.elapsed();
    assert_eq!(grams.ok(), Some(3 * EVENTS));
    node.stop().await.expect("it stops");
    Round::of(EVENTS, took)
}

async fn measure() -> Outcome {
    let server = Server::start();
    let bus = Bus::nats(server.url()).await?;
    let filler = node(bus.clone(), "filler").await?;
    fill(&filler.client()).await?;
    filler.stop().await?;
    let raw = async_nats::jetstream::new(connect(&server.url()).await?);
    compare(
        "replay/nats",
        async || load(Bus::nats(server.url()).await.expect("it answers"), "loader").await,
        async || ordered(&raw).await,
    )
    .await;
    let folder = Folder::fresh();
    let bus = Bus::embedded_at(folder.path())?;
    let filler = node(bus.clone(), "filler").await?;
    fill(&filler.client()).await?;
    filler.stop().await?;
    let payload = codec::encode(&Filled::new())?;
    compare(
        "replay/embedded",
        async || load(bus.clone(), "loader").await,
        async || {
            let started = Instant::now();
            let grams: u64 = (0..EVENTS)
                .map(|_| codec::decode::<Filled>(&payload).map_or(0, |filled| filled.grams))
                .sum();
            assert_eq!(grams, 3 * EVENTS);
            Round::of(EVENTS, started.elapsed())
        },
    )
    .await;
    Ok(())
}

/// Reads the same events with a plain ordered consumer.
async fn ordered(context: &async_nats::jetstream::Context) -> Round {
    let stream = context
        .get_stream("bench_EVT_jars")
        .await
        .expect("it is there");
    let started = Instant::now();
    let config = OrderedConfig {
        filter_subject: "bench.evt.jars.*.j".into(),
        deliver_policy: DeliverPolicy::All,
        ..OrderedConfig::default()
    };
    let consumer = stream.create_consumer(config).await.expect("it is made");
    let mut messages = consumer.messages().await.expect("it delivers");
    let (mut seen, mut grams) = (0, 0);
    while seen < EVENTS {
        let message = messages
            .next()
            .await
            .expect("there is more")
            .expect("it arrives");
        let filled: Filled = codec::decode(&message.payload).expect("an event");
        grams += filled.grams;
        seen += 1;
    }
    assert_eq!(grams, 3 * EVENTS);
    Round::of(EVENTS, started.elapsed())
}
