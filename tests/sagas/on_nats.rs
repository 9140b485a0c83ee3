//! The same on a server, with nodes that are killed or paused.

use crate::{
    market::{
        Confirmed, Freed, Held, Outcome, Paid, Refused, Repaid, checkouts, orders, placed, purse,
        shelf,
    },
    support::nats::Server,
    waiting::so_many,
};
use callboard::{
    Bus, Client, Event, Node,
    bus::StreamConfig,
    message::{Namespace, Origin, batch},
    saga::{SagaError, SagaFilter, SagaState, SagaStatus, Sagas},
    time::Clock,
};
use std::{
    collections::BTreeMap,
    env,
    process::{Child, Command, Stdio},
    time::Duration,
};

const URL: &str = "CALLBOARD_TEST_SAGAS";
const LEASE: &str = "CALLBOARD_TEST_LEASE";

/// A node in a process of its own.
struct Worker(Child);

impl Worker {
    fn start(url: &str, lease: u64) -> std::io::Result<Self> {
        let mut command = Command::new(env::current_exe()?);
        command
            .args(["--exact", "on_nats::works_until_killed", "--nocapture"])
            .env(URL, url)
            .env(LEASE, lease.to_string())
            .stdout(Stdio::null());
        command.spawn().map(Self)
    }

    /// Sends it a signal, such as `STOP`.
    fn signal(&self, name: &str) -> Outcome {
        let pid = self.0.id().to_string();
        let sent = Command::new("kill")
            .args([&format!("-{name}"), &pid])
            .status()?;
        assert!(sent.success());
        Ok(())
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// Hosts everything when it is started for that.
#[tokio::test]
async fn works_until_killed() -> Outcome {
    let Ok(url) = env::var(URL) else {
        return Ok(());
    };
    let lease = Duration::from_secs(env::var(LEASE)?.parse()?);
    let name = format!("worker-{}", std::process::id());
    // What was asked of a node that is paused is soon asked again of the other.
    let saga = checkouts()
        .takeover_after(lease)
        .timeout(Duration::from_secs(1));
    Node::new(&name, Bus::nats(url.as_str()).await?)
        .group(shelf())
        .group(purse())
        .group(orders(saga))
        .run_until(std::future::pending::<()>())
        .await?;
    Ok(())
}

/// Every tenth is declined, every twentieth out of stock or too late.
fn order(number: usize) -> String {
    match number % 20 {
        3 | 13 => format!("declined-{number}"),
        7 => format!("scarce-{number}"),
        17 => format!("late-{number}"),
        _ => format!("good-{number}"),
    }
}

async fn all<E: Event>(client: &Client) -> Result<Vec<E>, Box<dyn std::error::Error>> {
    let (namespace, domain) = (Namespace::default(), E::SUBJECT.domain());
    let stream = client
        .bus()
        .stream(&StreamConfig::events(&namespace, domain))
        .await?;
    let mut events = Vec::new();
    for stored in stream.read(">", 1).await?.all().await? {
        let (name, subject) = (namespace.event_stream(domain), stored.subject);
        let origin = Origin {
            stream: &name,
            sequence: stored.sequence,
            subject: &subject,
            time: stored.time,
        };
        for envelope in batch::read(&stored.headers, origin, stored.payload)? {
            if envelope.kind == E::SUBJECT.as_str() {
                events.push(envelope.event()?);
            }
        }
    }
    Ok(events)
}

fn is_over(saga: &SagaStatus) -> bool {
    saga.state.is_over()
}

/// Starts sagas, side by side.
fn start(
    sagas: &Sagas,
    numbers: std::ops::Range<usize>,
) -> tokio::task::JoinSet<Result<(), SagaError>> {
    let starts = numbers.map(order).map(|order| {
        let sagas = sagas.clone();
        async move { sagas.start(&order, &placed(&order)).await }
    });
    starts.collect()
}

/// Each order has exactly what its end says, and each journal is one story.
async fn audit(client: &Client, sagas: &Sagas, count: usize) -> Outcome {
    let mut found: BTreeMap<String, [i32; 6]> = BTreeMap::new();
    let mut add = |order: String, at: usize| found.entry(order).or_default()[at] += 1;
    all::<Held>(client)
        .await?
        .into_iter()
        .for_each(|it| add(it.order, 0));
    all::<Freed>(client)
        .await?
        .into_iter()
        .for_each(|it| add(it.order, 1));
    all::<Paid>(client)
        .await?
        .into_iter()
        .for_each(|it| add(it.order, 2));
    all::<Repaid>(client)
        .await?
        .into_iter()
        .for_each(|it| add(it.order, 3));
    all::<Confirmed>(client)
        .await?
        .into_iter()
        .for_each(|it| add(it.order, 4));
    all::<Refused>(client)
        .await?
        .into_iter()
        .for_each(|it| add(it.order, 5));
    assert_eq!(found.len(), count);
    for (order, counts) in &found {
        let expected = match order.split('-').next() {
            Some("declined") => [1, 1, 0, 0, 0, 1],
            Some("scarce") => [0, 0, 0, 0, 0, 1],
            Some("late") => [1, 1, 1, 1, 0, 1],
            _ => [1, 0, 1, 0, 1, 0],
        };
        assert_eq!(*counts, expected, "{order}");
        let status = sagas.status(order).await?;
        let completed = status.state == SagaState::Completed;
        assert_eq!(completed, order.starts_with("good"), "{status:?}");
        let mut names: Vec<_> = status.steps.iter().map(|step| &step.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(
            names.len(),
            status.steps.len(),
            "each step is begun once: {status:?}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn what_a_killed_node_held_ends_elsewhere_within_ten_seconds() -> Outcome {
    const COUNT: usize = 400;
    // On top of ten seconds: the machine may have more to do than this test.
    const SLACK: Duration = Duration::from_secs(5);
    let server = Server::start();
    let client = Client::new(Bus::nats(server.url()).await?, Namespace::default());
    let sagas = Sagas::open(&client, "checkout").await?;
    let one = Worker::start(&server.url(), 8)?;
    let _two = Worker::start(&server.url(), 8)?;
    let mut starting = start(&sagas, 0..COUNT);
    // Both nodes have something in hand once some began.
    so_many(&sagas, 1, |_| true).await;
    drop(one);
    let killed = Clock::system().now();
    while let Some(started) = starting.join_next().await {
        started??;
    }
    so_many(&sagas, COUNT, is_over).await;
    let list = sagas.list(&SagaFilter::all().limit(COUNT)).await?.sagas;
    let held = list.iter().filter(|saga| saga.began <= killed);
    let took = held.filter_map(|saga| saga.changed.duration_since(killed).ok());
    let took = took.max().unwrap_or_default();
    assert!(
        took < Duration::from_secs(10) + SLACK,
        "over {took:?} after the kill"
    );
    audit(&client, &sagas, COUNT).await
}

/// Pauses a runner so many times, each amid a hundred sagas.
async fn pauses(rounds: usize) -> Outcome {
    const ROUND: usize = 100;
    let server = Server::start();
    let client = Client::new(Bus::nats(server.url()).await?, Namespace::default());
    let sagas = Sagas::open(&client, "checkout").await?;
    let one = Worker::start(&server.url(), 1)?;
    let _two = Worker::start(&server.url(), 1)?;
    for round in 0..rounds {
        let before = round * ROUND;
        let mut starting = start(&sagas, before..before + ROUND);
        so_many(&sagas, before + 1, |_| true).await;
        one.signal("STOP")?;
        while let Some(started) = starting.join_next().await {
            started??;
        }
        // It wakes up when the other has all it held, or is in the midst of it.
        let over = if round % 2 == 0 { ROUND } else { ROUND * 3 / 4 };
        so_many(&sagas, before + over, is_over).await;
        one.signal("CONT")?;
        so_many(&sagas, before + ROUND, is_over).await;
    }
    audit(&client, &sagas, rounds * ROUND).await
}

#[tokio::test]
async fn a_runner_that_was_paused_has_no_second_effect_when_it_wakes_up() -> Outcome {
    pauses(2).await
}

#[tokio::test]
#[ignore = "takes minutes"]
async fn a_runner_that_was_paused_eight_times_has_no_second_effect() -> Outcome {
    pauses(8).await
}
