//! A checkout as a saga, against a hand-written loop that does the same: takes
//! the order, queues it in a stream so that any process can go on with it, takes
//! it from there, appends the same journal with the same expectations, calls the
//! same commands, answers, and acknowledges.
//!
//! Quantity: checkouts answered per second, three commands each; every tenth is
//! declined and its goods are given back. On NATS who orders, who runs the
//! checkouts and who is called are three processes.

mod by_hand;
mod embedded;
mod nats;
mod shop;
#[path = "../support/mod.rs"]
mod support;

use by_hand::{PENDING, Script, Waiting, appended, other_streams};
use callboard::{Bus, Client, bus::ConsumerConfig};
use embedded::{Embedded, buy_by_hand};
use futures_util::StreamExt;
use nats::{assist_raw, buy_raw};
use shop::{buy, node, shop};
use std::{
    future::Future,
    rc::Rc,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};
use support::{
    Outcome, Task,
    child::{Assistant, until_dismissed},
    connz::Telling,
    raw::connect,
    round::{Round, compare_so},
    servers::folder::Folder,
    wanted,
};
use tokio::{
    task::LocalSet,
    time::{Instant, timeout},
};

const SLICE: Duration = Duration::from_millis(800);
/// How many checkouts the count is taken over: nine that complete, one that does not.
const COUNTED: u64 = 100;

/// After how long without a command all were heard.
const SILENCE: Duration = Duration::from_millis(100);

const NATS: [(&str, u64); 3] = [("saga/1", 1), ("saga/64", 64), ("saga/256", 256)];
const EMBEDDED: [(&str, u64); 3] = [
    ("saga/embedded-fsync/1", 1),
    ("saga/embedded-fsync/64", 64),
    ("saga/embedded-fsync", 256),
];
static NEXT: AtomicU64 = AtomicU64::new(0);

fn main() -> Outcome {
    match support::task() {
        Task::Measure => support::runtime().block_on(measure()),
        Task::Assist(role) => support::runtime().block_on(assist(&role)),
        Task::Nothing => Ok(()),
    }
}

async fn measure() -> Outcome {
    if NATS.iter().any(|(name, _)| wanted(name)) {
        on_nats().await?;
    }
    if EMBEDDED.iter().any(|(name, _)| wanted(name)) {
        embedded().await?;
    }
    Ok(())
}

async fn on_nats() -> Outcome {
    let telling = Telling::start()?;
    let url = telling.server.url();
    let bus = Bus::nats(&*url).await?;
    let client = Client::new(bus.clone(), "bench".parse()?);
    let asking = connect(&url).await?;
    let _shop = Assistant::start(&["shop", &url]);
    let mut commands = connect(&url).await?.subscribe("bench.cmd.>").await?;
    let others = telling.sent()?;
    let _ours = Assistant::start(&["ours", &url]);
    // What is done once, such as looking a stream up, does not count.
    fly(1, 10, |at| buy(client.clone(), at)).await;
    let sent = || -> Outcome<u64> {
        let now = telling.sent()?.into_iter();
        let ours = now.filter(|(cid, _)| !others.contains_key(cid));
        Ok(ours.map(|(_, sent)| sent).sum())
    };
    while let Ok(Some(_)) = timeout(SILENCE, commands.next()).await {}
    let before = (sent()?, appended(&bus).await?);
    let from = NEXT.load(Relaxed);
    fly(1, COUNTED, |at| buy(client.clone(), at)).await;
    // The one command that starts it is not the saga's.
    let mut calls = 0;
    while let Ok(Some(command)) = timeout(SILENCE, commands.next()).await {
        calls += u64::from(!command.subject.ends_with(".checkout.buy"));
    }
    drop(commands);
    let after = (sent()?, appended(&bus).await?);
    let more = format!(
        " durability=\"one server, its files, synced every two minutes\" \
         appends={} calls={} sent={}",
        hundredths(after.1 - before.1),
        hundredths(calls),
        hundredths(after.0 - before.0),
    );
    let _raw = Assistant::start(&["raw", &url, &from.to_string()]);
    for (name, window) in NATS {
        compare_so(
            name,
            &more,
            async || fly(window, u64::MAX, |at| buy(client.clone(), at)).await,
            async || fly(window, u64::MAX, |at| buy_raw(asking.clone(), at)).await,
        )
        .await;
    }
    Ok(())
}

async fn embedded() -> Outcome {
    let folder = Folder::fresh();
    let bus = Bus::embedded_at(folder.path())?;
    let shop = shop(bus.clone()).await?;
    let node = node(bus.clone()).await?;
    let client = node.client();
    let from = NEXT.load(Relaxed);
    fly(1, 10, |at| buy(client.clone(), at)).await;
    let script = Script::read(&bus, from).await?;
    let (journal, errands) = other_streams(&bus).await?;
    let waiting = Waiting::default();
    let raw = Rc::new(Embedded { client: client.clone(), journal, errands, script, waiting });
    let mut config = ConsumerConfig::new("runners");
    config.filter = Some("bench.run.raw.*".to_owned());
    config.max_ack_pending = PENDING;
    let consumer = raw.errands.consumer(&config).await?;
    let more = " durability=\"every append is synced before it is acknowledged\"";
    let measures = async {
        for (name, window) in EMBEDDED {
            compare_so(
                name,
                more,
                async || fly(window, u64::MAX, |at| buy(client.clone(), at)).await,
                async || fly(window, u64::MAX, |at| buy_by_hand(&raw, at)).await,
            )
            .await;
        }
    };
    let local = LocalSet::new();
    tokio::select! {
        () = local.run_until(measures) => {}
        () = local.run_until(raw.serve(consumer)) => {}
    }
    node.stop().await?;
    Ok(shop.stop().await?)
}

async fn assist(role: &[String]) -> Outcome {
    let bus = Bus::nats(&*role[1]).await?;
    let node = match &*role[0] {
        "shop" => shop(bus).await?,
        "ours" => node(bus).await?,
        _ => return assist_raw(bus, &role[1], role[2].parse()?).await,
    };
    until_dismissed().await;
    Ok(node.stop().await?)
}

/// Keeps this many in flight for a while, or until so many were begun.
async fn fly<F>(window: u64, most: u64, work: impl Fn(u64) -> F) -> Round
where
    F: Future<Output = ()>,
{
    let started = Instant::now();
    let last = NEXT.load(Relaxed).saturating_add(most);
    let lines = (0..window).map(async |_| {
        let mut each = Vec::new();
        while most < u64::MAX || started.elapsed() < SLICE {
            let at = NEXT.fetch_add(1, Relaxed);
            if at >= last {
                NEXT.fetch_sub(1, Relaxed);
                break;
            }
            let sent = Instant::now();
            work(at).await;
            each.push(sent.elapsed());
        }
        each
    });
    let each: Vec<_> = futures_util::future::join_all(lines).await.concat();
    Round { count: each.len() as u64, took: started.elapsed(), each }
}

fn hundredths(count: u64) -> String {
    format!("{}.{:02}", count / COUNTED, count % COUNTED)
}
