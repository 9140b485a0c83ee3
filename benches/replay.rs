//! Building an entity and a projection from their events: over NATS against an
//! ordered consumer that decodes the same events, and from a directory against
//! decoding alone.
//!
//! Quantity: events per second, 50,000 of one key for the entity, and of 1,000
//! keys for the projection; for that from the first event to the last.

mod support;

use async_nats::jetstream::consumer::{DeliverPolicy, pull::OrderedConfig};
use callboard::{
    Bus, Client, Command, Decision, Entity, Event, Group, Infallible, Node, Projection, Running,
    Subject,
    message::codec,
    projection::{Lag, Seen},
};
use futures_util::{StreamExt, stream};
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, time::Duration};
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

#[derive(Clone, Serialize, Deserialize)]
struct Weights;

impl Command for Weights {
    const SUBJECT: Subject = Subject::new("scales.weights");
    type Outcome = Result<(u64, Duration), Infallible>;
}

#[derive(Serialize, Deserialize)]
struct Poured {
    cup: String,
    grams: u64,
    note: String,
}

impl Poured {
    fn new(number: u64) -> Self {
        let Filled { grams, note, .. } = Filled::new();
        Self { cup: format!("cup-{:03}", number % 1_000), grams, note }
    }
}

impl Event for Poured {
    const SUBJECT: Subject = Subject::new("cups.poured");

    fn key(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.cup)
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

async fn fill<E: Event>(client: &Client, event: impl Fn(u64) -> E) -> Outcome {
    let mut filling = stream::iter(0..EVENTS)
        .map(|number| client.publish(event(number)).into_future())
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

/// What the projection folds: the grams, and when it saw the first event and the last.
#[derive(Default)]
struct Scales {
    grams: u64,
    seen: u64,
    first: Option<Instant>,
    took: Duration,
}

impl Scales {
    fn poured(&mut self, poured: &Poured, _: &Seen) {
        let first = *self.first.get_or_insert_with(Instant::now);
        self.grams += poured.grams;
        self.seen += 1;
        if self.seen == EVENTS {
            self.took = first.elapsed();
        }
    }
}

/// Starts a node with a new projection: it goes through all events.
async fn project(bus: Bus) -> Round {
    let scales = Projection::new("scales", Scales::default)
        .fold(Scales::poured)
        .answer(|scales: &Scales, _: &Weights, _: &Lag| Ok((scales.grams, scales.took)))
        .fresh_within(Duration::from_secs(20));
    let node = Node::new("projector", bus)
        .namespace("bench")
        .group(Group::new("scales").child(scales));
    let node = node.start().await.expect("it starts");
    let weights = node.client().call(Weights).await;
    node.stop().await.expect("it stops");
    let (grams, took) = weights.expect("it answers");
    assert_eq!(grams, 3 * EVENTS);
    Round::of(EVENTS, took)
}

async fn measure() -> Outcome {
    on_nats().await?;
    embedded().await
}

async fn on_nats() -> Outcome {
    let server = Server::start();
    let bus = Bus::nats(server.url()).await?;
    let filler = node(bus.clone(), "filler").await?;
    fill(&filler.client(), |_| Filled::new()).await?;
    fill(&filler.client(), Poured::new).await?;
    filler.stop().await?;
    let raw = async_nats::jetstream::new(connect(&server.url()).await?);
    compare(
        "replay/nats",
        async || load(Bus::nats(server.url()).await.expect("it answers"), "loader").await,
        async || ordered::<Filled>(&raw, "jars", "bench.evt.jars.*.j").await,
    )
    .await;
    compare(
        "replay/projection",
        async || project(Bus::nats(server.url()).await.expect("it answers")).await,
        async || ordered::<Poured>(&raw, "cups", "").await,
    )
    .await;
    Ok(())
}

async fn embedded() -> Outcome {
    let folder = Folder::fresh();
    let bus = Bus::embedded_at(folder.path())?;
    let filler = node(bus.clone(), "filler").await?;
    fill(&filler.client(), |_| Filled::new()).await?;
    fill(&filler.client(), Poured::new).await?;
    filler.stop().await?;
    let one = codec::encode(&Filled::new())?;
    compare(
        "replay/embedded",
        async || load(bus.clone(), "loader").await,
        async || decode::<Filled>(&one),
    )
    .await;
    let one = codec::encode(&Poured::new(0))?;
    compare(
        "replay/projection/embedded",
        async || project(bus.clone()).await,
        async || decode::<Poured>(&one),
    )
    .await;
    Ok(())
}

/// Has the grams of an event.
trait Weighed: Event {
    fn grams(&self) -> u64;
}

impl Weighed for Filled {
    fn grams(&self) -> u64 {
        self.grams
    }
}

impl Weighed for Poured {
    fn grams(&self) -> u64 {
        self.grams
    }
}

/// Decodes one event as often as there are some.
fn decode<E: Weighed>(payload: &[u8]) -> Round {
    let started = Instant::now();
    let grams: u64 = (0..EVENTS)
        .map(|_| codec::decode::<E>(std::hint::black_box(payload)).map_or(0, |event| event.grams()))
        .sum();
    assert_eq!(grams, 3 * EVENTS);
    Round::of(EVENTS, started.elapsed())
}

/// Reads the same events with a plain ordered consumer.
async fn ordered<E: Weighed>(
    context: &async_nats::jetstream::Context,
    domain: &str,
    filter: &str,
) -> Round {
    let stream = context
        .get_stream(format!("bench_EVT_{domain}"))
        .await
        .expect("it is there");
    let mut started = Instant::now();
    let config = OrderedConfig {
        filter_subject: filter.into(),
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
        if seen == 0 && domain == "cups" {
            started = Instant::now();
        }
        let event: E = codec::decode(&message.payload).expect("an event");
        grams += event.grams();
        seen += 1;
    }
    assert_eq!(grams, 3 * EVENTS);
    Round::of(EVENTS, started.elapsed())
}
