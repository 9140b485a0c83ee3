//! Who is there: what reading it costs while it changes, and what 300 nodes that
//! know one another take of a core.
//!
//! Quantity: reads of one service's 50 instances per second while 2,000 cards a
//! second come in, against a hash map behind a lock that is written as often; the
//! share of a core over 20 s. Linux only.

mod support;

use callboard::{
    Bus, Node, Roster, Running,
    bus::Message,
    message::codec,
    roster::{Card, Service, Status, Version},
};
use futures_util::future::try_join_all;
use std::{
    collections::HashMap,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};
use support::{
    Outcome, Task,
    child::{Assistant, until_dismissed},
    cpu::shares,
    desk,
    round::{Round, compare},
    servers::{
        nats::Server,
        way::{until, until_within},
    },
    wanted,
};
use tokio::time::{Instant, interval};

const SLICE: Duration = Duration::from_millis(300);
const SPAN: Duration = Duration::from_secs(20);
/// Heartbeats and first looks are over by then.
const SETTLING: Duration = Duration::from_secs(12);
const NODES: usize = 300;

fn main() -> Outcome {
    match support::task() {
        Task::Measure => support::runtime().block_on(measure()),
        Task::Assist(role) => support::runtime().block_on(many(&role[0])),
        Task::Nothing => Ok(()),
    }
}

async fn measure() -> Outcome {
    reading().await?;
    let server = Server::start();
    crowd("roster/300", "embedded", None).await?;
    crowd("roster/300-nats", &server.url(), server.pid()).await
}

/// Describes the `number`-th of 50 nodes that offer six services.
fn card(number: usize, revision: u64) -> Card {
    let service = |name: usize| Service {
        name: format!("service-{name}"),
        version: Version::new(1, 2, revision),
        status: Status::Healthy,
        reason: None,
        tags: ["bench".to_owned()].into(),
        metadata: [("weight".to_owned(), "100".to_owned())].into(),
        depends_on: ["service-0".to_owned()].into(),
        answers: (0..8).map(|at| format!("service-{name}.do-{at}")).collect(),
        hears: (0..4).map(|at| format!("service-{at}.done")).collect(),
        repeats: [].into(),
        schemas: (0..4).map(|at| (format!("service-{at}.done"), 1)).collect(),
        publishes: [format!("service-{name}.done")].into(),
        calls: ["service-0".to_owned()].into(),
        callers: ["service-1".to_owned()].into(),
    };
    Card {
        instance: format!("node-{number}-1"),
        node: format!("node-{number}"),
        region: "eu".to_owned(),
        revision,
        ttl_ms: 3_600_000,
        services: (0..6).map(service).collect(),
    }
}

type Locked = Arc<RwLock<HashMap<String, Vec<Card>>>>;

/// Reads while cards come in, here and where a lock is taken.
async fn reading() -> Outcome {
    if !wanted("roster") {
        return Ok(());
    }
    let bus = Bus::embedded();
    let node = Node::new("reader", bus.clone()).start().await?;
    let (roster, locked) = (node.roster(), Locked::default());
    let writing = Arc::new(AtomicBool::new(true));
    let (going, written) = (Arc::clone(&writing), Arc::clone(&locked));
    let writer = std::thread::spawn(move || {
        support::runtime().block_on(write(&bus, &written, &going));
    });
    until("all cards", async || roster.of("service-3").len() >= 50).await;
    compare("roster", async || ours(&roster), async || theirs(&locked)).await;
    writing.store(false, Relaxed);
    writer.join().map_err(|_| "the writer failed")?;
    Ok(node.stop().await?)
}

async fn write(bus: &Bus, locked: &Locked, going: &AtomicBool) {
    let mut beat = interval(Duration::from_micros(500));
    let mut revision = 0;
    while going.load(Relaxed) {
        beat.tick().await;
        revision += 1;
        let number = usize::try_from(revision % 50).unwrap_or_default();
        let card = card(number, revision);
        let payload = codec::encode(&card).expect("a card is short");
        let said = Message::new("callboard.sys.node.presence.news.card", payload);
        bus.send(said).await.expect("the bus is here");
        put(locked, &card);
    }
}

fn put(locked: &Locked, card: &Card) {
    for service in &card.services {
        let name = service.name.clone();
        let mut known = locked.write().unwrap_or_else(PoisonError::into_inner);
        let cards = known.entry(name).or_default();
        cards.retain(|known| known.node != card.node);
        cards.push(card.clone());
        drop(known);
    }
}

fn ours(roster: &Roster) -> Round {
    let (started, mut count) = (Instant::now(), 0);
    while started.elapsed() < SLICE {
        for _ in 0..1_000 {
            std::hint::black_box(roster.of("service-3"));
        }
        count += 1_000;
    }
    Round::of(count, started.elapsed())
}

fn theirs(locked: &Locked) -> Round {
    let (started, mut count) = (Instant::now(), 0);
    while started.elapsed() < SLICE {
        for _ in 0..1_000 {
            let known = locked.read().unwrap_or_else(PoisonError::into_inner);
            std::hint::black_box(known.get("service-3").map(Vec::len));
        }
        count += 1_000;
    }
    Round::of(count, started.elapsed())
}

/// Measures what many idle nodes in one process take.
#[expect(clippy::print_stdout, reason = "this is what a bench is for")]
async fn crowd(name: &str, place: &str, server: Option<u32>) -> Outcome {
    if !wanted(name) {
        return Ok(());
    }
    let crowd = Assistant::start(&[place]);
    let all: Vec<_> = [Some(crowd.pid()), server].into_iter().flatten().collect();
    let shares = shares(&all, (SETTLING, SPAN)).await?;
    for (share, who) in shares.into_iter().zip(["nodes", "server"]) {
        println!("name={name}/{who} core={:.2}%", share * 100.0);
    }
    Ok(())
}

async fn many(place: &str) -> Outcome {
    let bus = match place {
        "embedded" => Bus::embedded(),
        url => Bus::nats(url).await?,
    };
    let mut nodes: Vec<Running> = Vec::new();
    for tens in 0..NODES / 10 {
        let starting = (0..10).map(|one| {
            let name = format!("n-{tens}-{one}");
            Node::new(name, bus.clone())
                .namespace("crowd")
                .group(desk::group())
                .start()
        });
        nodes.extend(try_join_all(starting).await?);
    }
    let knows_all = |node: &Running| node.roster().of("bench").len() >= NODES;
    until_within(Duration::from_mins(1), "node that knows all", async || {
        let known = nodes.iter().filter(|node| knows_all(node)).count();
        let all = known == nodes.len();
        all.then_some(()).ok_or_else(|| format!("{known} do"))
    })
    .await;
    until_dismissed().await;
    Ok(())
}
