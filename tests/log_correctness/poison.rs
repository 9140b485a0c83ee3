//! One key cannot go on: the others do as if it were not there.

use crate::Verdict;
#[cfg(feature = "nats")]
use crate::{
    cluster::{opened, three},
    support::nats::Server,
};
use callboard::{
    Actor, Bus, Client, Context, Event, Failure, Group, Node, Subject,
    call::{Operator, Parked},
    message::Namespace,
};
use serde::{Deserialize, Serialize};
use std::{
    borrow::Cow,
    collections::BTreeMap,
    error::Error,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

const KEYS: u32 = 1_000;
/// The key whose first event cannot be handled.
const BAD: u32 = 500;
const HANDS: u32 = 64;
/// How long nothing may happen.
const PATIENCE: Duration = Duration::from_mins(1);

#[derive(Debug, Serialize, Deserialize)]
struct Poured {
    glass: u32,
    n: u32,
}

impl Event for Poured {
    const SUBJECT: Subject = Subject::new("bar.poured");

    fn key(&self) -> Cow<'_, str> {
        format!("g{}", self.glass).into()
    }
}

/// What was drunk, and whether one drink is bad.
#[derive(Clone, Debug, Default)]
struct Guests {
    bad: Arc<AtomicBool>,
    drunk: Arc<Mutex<BTreeMap<u32, Vec<u32>>>>,
    count: Arc<AtomicUsize>,
}

impl Guests {
    async fn poured(&mut self, poured: Poured, _: &Context) -> Result<(), Failure> {
        if poured.glass == BAD && poured.n == 0 && self.bad.load(Relaxed) {
            return Err(Failure::retry("it is corked"));
        }
        let mut drunk = self.drunk.lock().unwrap_or_else(PoisonError::into_inner);
        drunk.entry(poured.glass).or_default().push(poured.n);
        drop(drunk);
        self.count.fetch_add(1, Relaxed);
        Ok(())
    }

    fn group(&self) -> Group {
        let guests = self.clone();
        let guest = Actor::new("guest", async move || Ok(guests.clone()));
        Group::new("tables").child(guest.on(Self::poured))
    }

    /// Waits until so many were drunk.
    async fn until(&self, count: usize) -> Verdict {
        let (mut last, mut since) = (0, Instant::now());
        while self.count.load(Relaxed) < count {
            let now = self.count.load(Relaxed);
            if now > last {
                (last, since) = (now, Instant::now());
            }
            if since.elapsed() > PATIENCE {
                return Err(format!("{now} of {count} are handled").into());
            }
            sleep(Duration::from_millis(2)).await;
        }
        Ok(())
    }

    fn drunk(&self) -> BTreeMap<u32, Vec<u32>> {
        let drunk = self.drunk.lock().unwrap_or_else(PoisonError::into_inner);
        drunk.clone()
    }
}

/// Fills all glasses side by side, each in order.
async fn pour(client: &Client, each: u32) -> Verdict {
    let mut hands = JoinSet::new();
    for hand in 0..HANDS {
        let client = client.clone();
        hands.spawn(async move {
            for n in 0..each {
                for glass in (hand..KEYS).step_by(HANDS as usize) {
                    let published = client.publish(Poured { glass, n }).await;
                    published.map_err(|error| error.to_string())?;
                }
            }
            Ok::<_, String>(())
        });
    }
    for ended in hands.join_all().await {
        ended?;
    }
    Ok(())
}

/// Returns the parked keys, as soon as there are some.
async fn parked(operator: &Operator) -> Result<Vec<Parked>, Box<dyn Error>> {
    let start = Instant::now();
    loop {
        let parked = operator.parked().await?;
        if !parked.is_empty() {
            return Ok(parked);
        }
        if start.elapsed() > PATIENCE {
            return Err("no key is parked".into());
        }
        sleep(Duration::from_millis(20)).await;
    }
}

/// Has all glasses drunk by a node, and returns how many of them per second.
async fn rate(
    (bus, replicas): (&Bus, usize),
    name: &str,
    guests: &Guests,
    each: u32,
) -> Result<f64, Box<dyn Error>> {
    let names: Namespace = name.parse()?;
    let client = Client::new(bus.clone(), names.clone()).replicas(replicas);
    #[cfg(feature = "nats")]
    opened(
        bus,
        &callboard::bus::StreamConfig::events(&names, "bar").replicas(replicas),
    )
    .await?;
    pour(&client, each).await?;
    let is_bad = guests.bad.load(Relaxed);
    let others = (KEYS - u32::from(is_bad)) * each;
    let node = Node::new(name, bus.clone())
        .namespace(name)
        .replicas(replicas);
    let node = node.group(guests.group()).start().await?;
    let start = Instant::now();
    guests.until(others as usize).await?;
    let rate = f64::from(others) / start.elapsed().as_secs_f64();
    if is_bad {
        mend(&Operator::new(bus.clone(), names), guests, each).await?;
    }
    node.stop().await?;
    let expected: Vec<_> = (0..each).collect();
    let drunk = guests.drunk();
    assert_eq!(drunk.len(), KEYS as usize);
    for (glass, order) in drunk {
        assert_eq!(order, expected, "the order of {glass}");
    }
    Ok(rate)
}

/// Lets the bad key go on, after looking at what waits.
async fn mend(operator: &Operator, guests: &Guests, each: u32) -> Verdict {
    let parked = parked(operator).await?;
    let [key] = &parked[..] else {
        return Err(format!("more than one is parked: {parked:?}").into());
    };
    assert_eq!((&*key.key, &*key.reason), ("g500", "it is corked"));
    assert_eq!(guests.drunk().get(&BAD), None);
    let mut waiting = operator.waiting(key).await?.ok_or("no stream")?;
    let mut count = 0;
    while waiting.next().await?.is_some() {
        count += 1;
    }
    assert_eq!(count, each);
    guests.bad.store(false, Relaxed);
    let start = Instant::now();
    operator.retry(key).await?;
    guests.until((KEYS * each) as usize).await?;
    eprintln!(
        "{count} events waited, and came in {:?} after `retry`",
        start.elapsed()
    );
    Ok(())
}

/// Compares the rates with a poison key and without, in turn; returns the
/// median of what is left of the rate. Either way every event of the others is
/// handled once and in order, while the poison key's wait.
async fn compare(
    bus: &Bus,
    replicas: usize,
    each: u32,
    rounds: u32,
) -> Result<f64, Box<dyn Error>> {
    let mut left = Vec::new();
    for round in 0..rounds {
        let carrier = (bus, replicas);
        let calm = rate(carrier, &format!("calm-{round}"), &Guests::default(), each).await?;
        let guests = Guests::default();
        guests.bad.store(true, Relaxed);
        let poisoned = rate(carrier, &format!("poisoned-{round}"), &guests, each).await?;
        eprintln!("{calm:.0}/s, the others of a poison key {poisoned:.0}/s");
        left.push(poisoned / calm);
    }
    left.sort_by(f64::total_cmp);
    let left = left[left.len() / 2];
    eprintln!("{bus}, copies: {replicas}, {KEYS} keys × {each}: {left:.2} of the rate");
    Ok(left)
}

/// Checks that the others keep nine tenths of their rate.
async fn keep_their_rate(bus: &Bus, replicas: usize) -> Verdict {
    let left = compare(bus, replicas, 50, 7).await?;
    assert!(
        left >= 0.9,
        "the others keep {left:.2} of their rate on {bus}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_poison_key_among_a_thousand_holds_nobody_up_embedded() -> Verdict {
    compare(&Bus::embedded(), 1, 20, 1).await.map(drop)
}

#[cfg(feature = "nats")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_poison_key_among_a_thousand_holds_nobody_up_on_a_server() -> Verdict {
    let server = Server::start();
    let bus = Bus::nats(server.url()).await?;
    compare(&bus, 1, 20, 1).await.map(drop)
}

#[cfg(feature = "nats")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_poison_key_among_a_thousand_holds_nobody_up_on_three_servers() -> Verdict {
    let servers = three();
    let addresses: Vec<_> = servers.iter().map(|(_, server)| server.url()).collect();
    let bus = Bus::nats(addresses.join(",")).await?;
    compare(&bus, 3, 20, 1).await.map(drop)
}

#[cfg(feature = "nats")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "seven rounds of each kind on each carrier take minutes"]
async fn rates_beside_a_poison_key_and_without() -> Verdict {
    keep_their_rate(&Bus::embedded(), 1).await?;
    let server = Server::start();
    keep_their_rate(&Bus::nats(server.url()).await?, 1).await?;
    let servers = three();
    let addresses: Vec<_> = servers.iter().map(|(_, server)| server.url()).collect();
    keep_their_rate(&Bus::nats(addresses.join(",")).await?, 3).await
}
