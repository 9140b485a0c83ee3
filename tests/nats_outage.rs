//! What a crash of the NATS server does to those who work over it: nothing that lasts.

#![cfg(feature = "nats")]

mod support;

use callboard::{
    bus::{
        Append, Bus, Consumer, ConsumerConfig, Expect, Message, Stream, StreamConfig, Subscription,
    },
    message::{Headers, headers},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    error::Error,
    time::Duration,
};
use support::nats::Server;
use tokio::{
    sync::watch,
    task::{JoinSet, spawn_blocking},
    time::{Instant, sleep, timeout},
};

type Verdict = Result<(), Box<dyn Error>>;

/// How long something that must happen may take.
const SOON: Duration = Duration::from_secs(15);

fn message(subject: &str, id: &str) -> Message {
    let mut named = Headers::new();
    let sound = named.insert(headers::MSG_ID, id);
    assert_eq!(sound, Ok(()));
    Message::new(subject, id.to_owned()).headers(named)
}

fn orders() -> StreamConfig {
    let mut config = StreamConfig::new("ORDERS", ["orders.*".to_owned()]);
    config.partitions = 4;
    config
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_of_the_server_loses_nothing_that_was_acknowledged() -> Verdict {
    outage(Duration::ZERO).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_of_five_seconds_loses_nothing_that_was_acknowledged() -> Verdict {
    outage(Duration::from_secs(5)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes over a minute"]
async fn an_outage_of_a_minute_loses_nothing_that_was_acknowledged() -> Verdict {
    outage(Duration::from_mins(1)).await
}

/// What the writers know: each id that was acknowledged, and its sequence.
type Acked = BTreeMap<String, u64>;

/// Kills the server under load, keeps it away for a while, and compares.
async fn outage(lasts: Duration) -> Verdict {
    let mut server = Server::start();
    let bus = Bus::nats(server.url()).await?;
    let stream = bus.stream(&orders()).await?;
    let (stop, stopped) = watch::channel(false);
    let mut writers = JoinSet::new();
    let mut readers = JoinSet::new();
    for number in 0..4 {
        writers.spawn(write(stream.clone(), number, stopped.clone()));
        let mut config = ConsumerConfig::new(format!("p{number}"));
        config.partition = Some(number);
        config.pinned = number % 2 == 0;
        config.ack_wait = Duration::from_secs(2);
        let consumer = stream.consumer(&config).await?;
        readers.spawn(follow(consumer, stopped.clone()));
    }
    let mut echoes = bus.subscribe("echo", None).await?;
    sleep(Duration::from_secs(1)).await;
    server.kill();
    sleep(lasts).await;
    let restarting = spawn_blocking(move || {
        server.restart();
        server
    });
    let _server = restarting.await?;
    let back = hears_again(&bus, &mut echoes).await?;
    sleep(Duration::from_secs(2)).await;
    stop.send(true)?;
    let mut acked = Acked::new();
    let mut unknown = BTreeSet::new();
    for (committed, unsettled) in writers.join_all().await {
        acked.extend(committed);
        unknown.extend(unsettled);
    }
    let mut seen = BTreeSet::new();
    for reader in readers.join_all().await {
        seen.extend(reader?);
    }
    eprintln!("heard again {back:?} after the start");
    compare(&stream, &acked, &unknown, &seen).await
}

/// Appends one message after the other to one key, each expecting the last.
async fn write(
    stream: Stream,
    writer: u32,
    stopped: watch::Receiver<bool>,
) -> (Acked, BTreeSet<String>) {
    let subject = format!("orders.o-{writer}");
    let (mut acked, mut unknown, mut last, mut number) = (Acked::new(), BTreeSet::new(), 0, 0);
    while !*stopped.borrow() {
        let id = format!("{writer}-{number}");
        match stream
            .append(message(&subject, &id), Expect::Last(last))
            .await
        {
            Ok(Append::Committed { sequence, .. }) => {
                unknown.remove(&id);
                acked.insert(id, sequence);
                last = sequence;
                number += 1;
            }
            // The same id again finds out.
            Ok(Append::Unknown { .. }) => drop(unknown.insert(id)),
            Ok(Append::Conflict) => unreachable!("{id} conflicts though nobody else writes"),
            Err(_) => sleep(Duration::from_millis(50)).await,
        }
    }
    (acked, unknown)
}

/// Takes and acknowledges until told to stop and nothing comes any more.
async fn follow(
    mut consumer: Consumer,
    stopped: watch::Receiver<bool>,
) -> Result<BTreeSet<u64>, String> {
    let mut seen = BTreeSet::new();
    loop {
        match timeout(Duration::from_secs(4), consumer.next()).await {
            Ok(Ok(delivery)) => {
                seen.insert(delivery.message.sequence);
                // What is not acknowledged comes again, and is known by its sequence.
                drop(delivery.ack().await);
            }
            Ok(Err(error)) => return Err(error.to_string()),
            Err(_) if *stopped.borrow() => return Ok(seen),
            Err(_) => {}
        }
    }
}

/// Sends until the subscription, which was made before the crash, hears it.
async fn hears_again(bus: &Bus, echoes: &mut Subscription) -> Result<Duration, Box<dyn Error>> {
    let start = Instant::now();
    while start.elapsed() < SOON {
        drop(bus.send(Message::new("echo", "")).await);
        if timeout(Duration::from_millis(50), echoes.next())
            .await
            .is_ok()
        {
            return Ok(start.elapsed());
        }
    }
    Err("the subscription hears nothing".into())
}

async fn compare(
    stream: &Stream,
    acked: &Acked,
    unknown: &BTreeSet<String>,
    seen: &BTreeSet<u64>,
) -> Verdict {
    let stored = stream.read("orders.*", 1).await?.all().await?;
    let mut by_id = Acked::new();
    for message in &stored {
        let id = message
            .headers
            .get(headers::MSG_ID)
            .ok_or("a message has no id")?;
        let earlier = by_id.insert(id.to_owned(), message.sequence);
        assert_eq!(earlier, None, "{id} is stored twice");
    }
    eprintln!(
        "acked {}, stored {}, delivered {}, unknown {}",
        acked.len(),
        stored.len(),
        seen.len(),
        unknown.len()
    );
    for (id, sequence) in acked {
        assert_eq!(by_id.get(id), Some(sequence), "{id} was acknowledged");
    }
    let unaccounted = by_id
        .keys()
        .filter(|id| !acked.contains_key(*id) && !unknown.contains(*id));
    assert_eq!(unaccounted.count(), 0);
    let sequences: BTreeSet<_> = stored.iter().map(|message| message.sequence).collect();
    assert_eq!(*seen, sequences, "each stored message is delivered");
    assert!(acked.len() > 100, "only {} were appended", acked.len());
    Ok(())
}
