//! Jobs of one key are done in order, whichever node reads them.

use crate::support::{
    log::Log,
    way::{Verdict, Way, both_buses, until},
};
use callboard::{
    Actor, Answer, Command, Context, Group, NodeError, Rejection, Running, Subject, bus::Message,
    time::Clock,
};
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, sync::Arc, time::Duration};
use tokio::{sync::Semaphore, task::JoinSet};

/// One of the steps of a key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Step {
    key: String,
    number: u32,
    /// Whether it waits for a permit.
    waits: bool,
}

#[derive(Debug, Serialize, Deserialize, thiserror::Error)]
#[error("no")]
struct No;

impl Rejection for No {}

impl Command for Step {
    const SUBJECT: Subject = Subject::new("walk.step");
    type Outcome = Result<(), No>;

    fn key(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.key)
    }
}

/// What does the steps, on one node.
struct Walker {
    log: Log,
    node: &'static str,
    gate: Arc<Semaphore>,
}

impl Walker {
    async fn step(&mut self, step: Step, ctx: &Context) -> Answer<Step> {
        let Step { key, number, waits } = step;
        let (node, attempt) = (self.node, ctx.attempt());
        self.log.note(format!("{key}{number} {attempt} {node}"));
        if waits {
            self.gate.acquire().await.expect("it stays open").forget();
        }
        self.log.note(format!("{key}{number} ends"));
        Ok(())
    }
}

/// Two nodes that share the walks, and what holds them up.
struct Walks {
    log: Log,
    gate: Arc<Semaphore>,
}

impl Walks {
    fn new() -> Self {
        Self { log: Log::default(), gate: Arc::new(Semaphore::new(0)) }
    }

    async fn start(&self, way: &Way, node: &'static str) -> Result<Running, NodeError> {
        let (log, gate) = (self.log.clone(), Arc::clone(&self.gate));
        let open = async move || Ok(Walker { log: log.clone(), node, gate: Arc::clone(&gate) });
        let walker = Actor::new("walker", open)
            .answer(Walker::step)
            .instances(8)
            .handle_within(Duration::from_mins(2));
        let group = Group::new("walk").child(walker);
        let node = way.node(node).drain_within(Duration::from_mins(1));
        node.group(group).start().await
    }

    /// Returns which steps of a key ended, and how often each began.
    fn of(&self, key: &str) -> Vec<String> {
        let lines = self.log.lines().into_iter();
        let own = lines.filter(|line| line.starts_with(key) && line.ends_with("ends"));
        own.map(|line| line.trim_end_matches(" ends").to_owned())
            .collect()
    }
}

fn step(key: &str, number: u32, waits: bool) -> Step {
    Step { key: key.to_owned(), number, waits }
}

/// Returns the partition of a key.
fn partition(key: &str) -> u32 {
    let hash = key.bytes().fold(0x811C_9DC5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    hash % 8
}

/// Returns so many keys of one partition.
fn neighbours(count: usize) -> Vec<String> {
    let keys = (0..).map(|number| format!("k{number}-"));
    keys.filter(|key| partition(key) == partition("k0-"))
        .take(count)
        .collect()
}

/// Asks the server about the consumer of the keys' partition.
async fn api(way: &Way, what: &str, payload: &str) -> Result<String, Box<dyn std::error::Error>> {
    let (stream, number) = (way.names().job_stream("walk"), partition("k0-"));
    let subject = format!("$JS.API.CONSUMER.{what}.{stream}.jobs_{number}");
    let asked = Message::new(subject, payload.to_owned());
    let answer = way.bus.request(asked, Duration::from_secs(5)).await?;
    Ok(String::from_utf8_lossy(&answer.payload).into_owned())
}

#[tokio::test]
async fn jobs_of_a_key_stay_in_order_when_the_partition_goes_to_another_node() -> Verdict {
    let way = Way::nats(true).await?;
    let walks = Walks::new();
    let first = walks.start(&way, "first").await?;
    let client = way.client();
    let keys = neighbours(2);
    let (key, other) = (&*keys[0], &*keys[1]);
    client.send(step(key, 1, true)).await?;
    walks.log.of(1).await;
    client.send(step(key, 2, false)).await?;
    let second = walks.start(&way, "second").await?;
    until("two readers", async || {
        api(&way, "INFO", "")
            .await
            .is_ok_and(|info| info.contains("\"num_waiting\":2"))
    })
    .await;
    api(&way, "UNPIN", r#"{"group":"one"}"#).await?;
    client.send(step(key, 3, false)).await?;
    client.send(step(other, 1, false)).await?;
    // Once this is done, who has the partition now had all before it.
    until("a step of another key", async || walks.of(other).len() == 1).await;
    walks.gate.add_permits(1);
    until("three steps", async || walks.of(key).len() == 3).await;
    let steps: Vec<_> = (1..=3).map(|number| format!("{key}{number}")).collect();
    assert_eq!(walks.of(key), steps, "{:?}", walks.log.lines());
    let by_second = |line: &String| line.starts_with(other) && line.ends_with("second");
    assert!(
        walks.log.lines().iter().any(by_second),
        "the partition went over: {:?}",
        walks.log.lines()
    );
    first.stop().await?;
    second.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_node_with_many_slow_jobs_keeps_its_partition() -> Verdict {
    let way = Way::nats(true).await?;
    let walks = Walks::new();
    let first = walks.start(&way, "first").await?;
    let client = way.client();
    let keys = neighbours(40);
    for key in &keys {
        client.send(step(key, 1, true)).await?;
    }
    walks.log.of(1).await;
    let second = walks.start(&way, "second").await?;
    // Longer than a reader keeps a partition without asking for more.
    let late = Clock::system().now() + Duration::from_secs(9);
    until("the time", async || Clock::system().now() > late).await;
    for key in &keys[..20] {
        client.send(step(key, 2, false)).await?;
    }
    walks.gate.add_permits(40);
    until("all steps", async || walks.of("k").len() == 60).await;
    let lines = walks.log.lines();
    let by_second: Vec<_> = lines
        .iter()
        .filter(|line| line.ends_with("second"))
        .collect();
    assert!(by_second.is_empty(), "nobody took it over: {by_second:?}");
    first.stop().await?;
    second.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_node_that_stops_lets_a_slow_job_end_and_it_is_done_once() -> Verdict {
    let way = Way::nats(true).await?;
    let walks = Walks::new();
    let first = walks.start(&way, "first").await?;
    let client = way.client();
    client.send(step("k0-", 1, true)).await?;
    client.send(step("k0-", 2, false)).await?;
    walks.log.of(1).await;
    let second = walks.start(&way, "second").await?;
    let mut stopping = JoinSet::new();
    stopping.spawn(first.stop());
    let late = Clock::system().now() + Duration::from_secs(12);
    until("the time", async || Clock::system().now() > late).await;
    let begun = walks.log.lines();
    assert_eq!(begun, ["k0-1 1 first"], "it is not begun elsewhere");
    walks.gate.add_permits(2);
    until("both steps", async || walks.of("k0-").len() == 2).await;
    stopping.join_next().await.ok_or("it stops")???;
    client.send(step("k0-", 3, false)).await?;
    until("the third step", async || walks.of("k0-").len() == 3).await;
    assert_eq!(walks.of("k0-"), ["k0-1", "k0-2", "k0-3"]);
    second.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_job_that_only_waited_is_in_its_first_attempt_on_the_next_node() -> Verdict {
    both_buses(async |way| {
        let walks = Walks::new();
        let first = walks.start(way, "first").await?;
        let client = way.client();
        for number in 1..=3 {
            client.send(step("k0-", number, number == 1)).await?;
        }
        walks.log.of(1).await;
        let second = walks.start(way, "second").await?;
        let mut stopping = JoinSet::new();
        stopping.spawn(first.stop());
        // By then it takes nothing more, and waits for what it began.
        let late = Clock::system().now() + Duration::from_secs(1);
        until("the time", async || Clock::system().now() > late).await;
        walks.gate.add_permits(1);
        stopping.join_next().await.ok_or("it stops")???;
        until("all steps", async || walks.of("k0-").len() == 3).await;
        let lines = walks.log.lines();
        let expected = ["k0-1 1 first", "k0-2 1 second", "k0-3 1 second"];
        let begun = lines.iter().filter(|line| !line.ends_with("ends"));
        assert_eq!(begun.collect::<Vec<_>>(), expected, "{lines:?}");
        second.stop().await?;
        Ok(())
    })
    .await
}
