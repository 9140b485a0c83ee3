//! Confirmations get lost and servers die; every append is stored once.

use crate::{
    Verdict,
    cluster::{leader, opened, three},
    proxy::Proxy,
    support::nats::Server,
};
use callboard::{
    Bus,
    bus::{Append, Expect, Message, Stream, StreamConfig},
    message::{Headers, headers},
};
use std::{
    collections::BTreeSet,
    error::Error,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{
    sync::Semaphore,
    task::{JoinSet, block_in_place},
    time::{Instant, sleep},
};

const APPENDS: usize = 10_000;
const AT_ONCE: usize = 512;
const LOSE: f64 = 0.3;
/// How long an append may be refused while servers are away.
const PATIENCE: Duration = Duration::from_mins(2);
/// How long to wait before it is tried again.
const AGAIN: Duration = Duration::from_millis(50);

fn config() -> StreamConfig {
    let mut config = StreamConfig::new("ORDERS", ["orders.*".to_owned()]);
    config.partitions = 8;
    config
}

/// Appends one message until that is known; returns how often it was unknown.
async fn settle(stream: Stream, number: usize) -> Result<usize, String> {
    let (mut unknown, start) = (0, Instant::now());
    loop {
        let mut named = Headers::new();
        let sound = named.insert(headers::MSG_ID, format!("a-{number}"));
        assert_eq!(sound, Ok(()));
        let message = Message::new(format!("orders.o-{}", number % 500), number.to_string());
        match stream.append(message.headers(named), Expect::Any).await {
            Ok(Append::Committed { .. }) => return Ok(unknown),
            Ok(Append::Unknown { .. }) => unknown += 1,
            Ok(Append::Conflict) => return Err("nothing was expected".into()),
            Err(error) if start.elapsed() > PATIENCE => return Err(error.to_string()),
            // Certainly not stored: nobody leads, or the connection is made again.
            Err(_) => sleep(AGAIN).await,
        }
    }
}

/// Appends ten thousand messages, and calls `fault` after each quarter.
async fn appends(
    stream: &Stream,
    mut fault: impl AsyncFnMut() -> Result<(), Box<dyn Error>>,
) -> Result<usize, Box<dyn Error>> {
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let done = Arc::new(AtomicUsize::new(0));
    let mut appends = JoinSet::new();
    for number in 0..APPENDS {
        let (stream, places, done) = (stream.clone(), Arc::clone(&places), Arc::clone(&done));
        appends.spawn(async move {
            let _place = places
                .acquire_owned()
                .await
                .map_err(|error| error.to_string())?;
            let unknown = settle(stream, number).await?;
            done.fetch_add(1, Relaxed);
            Ok::<_, String>(unknown)
        });
    }
    for quarter in 1..4 {
        while done.load(Relaxed) < quarter * APPENDS / 4 {
            sleep(Duration::from_millis(5)).await;
        }
        fault().await?;
    }
    let last_fault = Instant::now();
    let left = APPENDS - done.load(Relaxed);
    let mut unknown = 0;
    for ended in appends.join_all().await {
        unknown += ended?;
    }
    eprintln!(
        "{left} were left at the last fault, settled in {:?}",
        last_fault.elapsed()
    );
    Ok(unknown)
}

async fn check(stream: &Stream) -> Verdict {
    let all = stream.read("orders.*", 1).await?.all().await?;
    let ids: BTreeSet<_> = all
        .iter()
        .filter_map(|stored| stored.headers.get(headers::MSG_ID))
        .collect();
    assert_eq!((all.len(), ids.len()), (APPENDS, APPENDS));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_append_is_stored_once_though_a_server_dies_and_acks_are_lost() -> Verdict {
    let mut server = Server::start();
    let proxy = Proxy::before(server.port(), LOSE, 1).await?;
    let bus = Bus::nats(proxy.url()).await?;
    let stream = bus.stream(&config()).await?;
    let unknown = appends(&stream, async || {
        block_in_place(|| server.restart());
        Ok(())
    })
    .await?;
    eprintln!(
        "{} confirmations lost, {unknown} times unknown",
        proxy.lost()
    );
    check(&stream).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_append_is_stored_once_though_leaders_die_and_acks_are_lost() -> Verdict {
    let mut servers = three();
    let mut proxies = Vec::new();
    for (seed, (_, server)) in (1..).zip(&servers) {
        proxies.push(Proxy::before(server.port(), LOSE, seed).await?);
    }
    let addresses: Vec<_> = proxies.iter().map(Proxy::url).collect();
    let bus = Bus::nats(addresses.join(",")).await?;
    let stream = opened(&bus, &config().replicas(3)).await?;
    let mut killed = Vec::new();
    let unknown = appends(&stream, async || {
        let leads = leader(&bus, "ORDERS").await?;
        let found = servers.iter_mut().find(|(name, _)| *name == leads);
        let (_, server) = found.ok_or("a stranger leads")?;
        block_in_place(|| {
            server.kill();
            server.restart();
        });
        killed.push(leads);
        Ok(())
    })
    .await?;
    let lost: u64 = proxies.iter().map(Proxy::lost).sum();
    eprintln!("{lost} confirmations lost, {unknown} times unknown, leaders killed: {killed:?}");
    check(&stream).await
}
