//! Walks of many steps: each leaves one print, in the order of the steps.

use crate::{Verdict, support::way::Verdict as Outcome};
use callboard::{
    Actor, Client, Context, Event, Failure, Group, Retry, Subject,
    bus::Stored,
    message::{
        codec,
        headers::{CE_CAUSATION, CE_ID, CE_SOURCE},
    },
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, HashSet},
    error::Error,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::task::JoinSet;

/// How many walks go on side by side.
const HANDS: u32 = 64;

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Stepped {
    walk: u32,
    n: u32,
    trouble: Trouble,
}

/// What goes wrong at the first attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Trouble {
    None,
    /// It fails before it leaves its print.
    Early,
    /// It fails when its print is there.
    Late,
}

impl Stepped {
    /// Makes a step; every twentieth makes trouble.
    fn new(walk: u32, n: u32) -> Self {
        let trouble = match (walk + 7 * n) % 40 {
            0 => Trouble::Early,
            20 => Trouble::Late,
            _ => Trouble::None,
        };
        Self { walk, n, trouble }
    }
}

impl Event for Stepped {
    const SUBJECT: Subject = Subject::new("walks.stepped");

    fn key(&self) -> Cow<'_, str> {
        format!("w{}", self.walk).into()
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Printed {
    walk: u32,
    n: u32,
}

impl Event for Printed {
    const SUBJECT: Subject = Subject::new("prints.printed");

    fn key(&self) -> Cow<'_, str> {
        format!("w{}", self.walk).into()
    }
}

/// What a reader counts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts {
    handled: Arc<AtomicU64>,
    failed: Arc<AtomicU64>,
    again: Arc<AtomicU64>,
}

impl Counts {
    async fn stepped(&mut self, step: Stepped, ctx: &Context) -> Result<(), Failure> {
        let fails = |when| ctx.attempt() == 1 && step.trouble == when;
        if fails(Trouble::Early) {
            self.failed.fetch_add(1, Relaxed);
            return Err(Failure::retry("it stumbled"));
        }
        let Stepped { walk, n, .. } = step;
        let printed = ctx.publish(Printed { walk, n }).await?;
        self.again.fetch_add(printed.duplicate.into(), Relaxed);
        if fails(Trouble::Late) {
            self.failed.fetch_add(1, Relaxed);
            return Err(Failure::retry("it stumbled after it left its print"));
        }
        self.handled.fetch_add(1, Relaxed);
        Ok(())
    }

    pub(crate) fn group(&self) -> Group {
        let counts = self.clone();
        let short = Duration::from_millis(50);
        let walker = Actor::new("walker", async move || Ok(counts.clone()))
            .on(Self::stepped)
            .retry(Retry::new(20).backoff(short, Duration::from_secs(1)));
        Group::new("readers").child(walker)
    }

    pub(crate) fn told(&self) -> String {
        format!(
            "{} handled, {} failed once, {} effects that were there already",
            self.handled.load(Relaxed),
            self.failed.load(Relaxed),
            self.again.load(Relaxed)
        )
    }
}

/// Lets walks go on by some steps, each in order.
pub(crate) async fn walk(client: &Client, walks: Range<u32>, steps: Range<u32>) -> Verdict {
    let mut hands = JoinSet::new();
    for hand in 0..HANDS {
        let (client, steps) = (client.clone(), steps.clone());
        let walks = walks.start + hand..walks.end;
        hands.spawn(async move {
            for n in steps {
                for walk in walks.clone().step_by(HANDS as usize) {
                    let published = client.publish(Stepped::new(walk, n)).await;
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

/// Returns all that a domain's stream has from a sequence on.
pub(crate) async fn stored(
    client: &Client,
    domain: &'static str,
    from: u64,
) -> Result<Vec<Stored>, Box<dyn Error>> {
    Ok(client
        .events(domain)
        .await?
        .read(">", from)
        .await?
        .all()
        .await?)
}

/// Returns the name of the node that published an event.
pub(crate) fn node(stored: &Stored) -> &str {
    let source = stored.headers.get(CE_SOURCE).unwrap_or_default();
    source.rsplit('/').next().unwrap_or_default()
}

fn read<T: DeserializeOwned>(stored: &Stored) -> Result<T, Box<dyn Error>> {
    Ok(codec::decode(&stored.payload)?)
}

/// Tells who left which print of a walk, and when.
fn story(prints: &[Stored], walk: u32) -> Result<String, Box<dyn Error>> {
    let mut told = vec![format!("walk {walk}")];
    for print in prints {
        let printed: Printed = read(print)?;
        if printed.walk == walk {
            let at = print
                .time
                .duration_since(prints[0].time)
                .unwrap_or_default();
            told.push(format!("{} by {} at {at:.2?}", printed.n, node(print)));
        }
    }
    Ok(told.join("; "))
}

/// Checks that every step of every walk left one print, in the order of steps.
pub(crate) async fn check(client: &Client, walks: u32, steps: u32) -> Outcome {
    let events = stored(client, "walks", 1).await?;
    let prints = stored(client, "prints", 1).await?;
    let mut orders: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    let (mut seen, mut twice) = (BTreeSet::new(), Vec::new());
    for print in &prints {
        let Printed { walk, n } = read(print)?;
        if seen.insert((walk, n)) {
            orders.entry(walk).or_default().push(n);
        } else {
            twice.push(format!(
                "{walk}.{n} by {} at #{}",
                node(print),
                print.sequence
            ));
        }
    }
    assert_eq!(twice, Vec::<String>::new(), "effects that are there twice");
    assert_eq!(orders.len(), walks as usize);
    let expected: Vec<_> = (0..steps).collect();
    for (walk, order) in &orders {
        if *order != expected {
            eprintln!("{}", story(&prints, *walk)?);
        }
        assert_eq!(*order, expected, "the order of walk {walk}");
    }
    let ids = |stored: &[Stored], header: &str| -> HashSet<String> {
        let ids = stored
            .iter()
            .filter_map(|stored| stored.headers.get(header));
        ids.map(str::to_owned).collect()
    };
    assert_eq!(ids(&events, CE_ID), ids(&prints, CE_CAUSATION));
    assert_eq!(prints.len(), events.len());
    eprintln!(
        "{walks} keys × {steps}: {} events, {} effects, each once and in order",
        events.len(),
        prints.len()
    );
    Ok(())
}
