//! A cluster of servers of which one is cut off with its nodes, without a word.
//!
//! What counts is when the servers hear one another again. Where they never noticed
//! the cut, that is at once: what was held is passed on. Where their pings found the
//! route dead, or where it ends with the cut, they first connect again, about once
//! per second; nodes cannot know of one another before that.

use crate::{
    cluster::{Cluster, FAR},
    support::way::{Verdict, until_within},
    yard::{HEARTBEAT, TTL, yard},
};
use callboard::{
    Node, Running,
    roster::{Card, Instance, Status},
};
use std::{
    collections::BTreeSet,
    error::Error,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};
use tokio::time::Instant;

/// How long after servers hear one another all must know all again.
const CONVERGED: Duration = TTL.saturating_add(Duration::from_secs(2));
/// How long anything else may take.
const LIMIT: Duration = Duration::from_secs(30);

/// How many nodes each server has: all listen to all.
const FEW: [usize; 3] = [2, 2, 3];
/// So many that one tells the others; it is among those that are cut off.
const MANY: [usize; 3] = [5, 5, 5];

/// How a partition goes.
#[derive(Clone, Copy, Debug)]
struct Hole {
    /// Until when it lasts.
    until: Until,
    /// Whether the connections end then, and what was held is lost; else it is
    /// passed on.
    torn: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Until {
    /// Nobody has been missed yet.
    Changed,
    /// Each side knows its own, and nobody else.
    Silent,
    /// The servers have found the routes dead, and try to connect again and again.
    Noticed,
}

const HOLES: [Hole; 5] = [
    Hole { until: Until::Changed, torn: false },
    Hole { until: Until::Changed, torn: true },
    Hole { until: Until::Silent, torn: false },
    Hole { until: Until::Silent, torn: true },
    Hole { until: Until::Noticed, torn: false },
];

/// The nodes of all sides.
struct Nodes<'a> {
    cluster: &'a Cluster,
    namespace: String,
    running: Vec<Seat>,
    /// Whether the groups of all pass their checks.
    fit: Arc<AtomicBool>,
}

/// A node at the server of a place.
struct Seat {
    place: usize,
    name: String,
    node: Running,
}

impl Seat {
    /// Returns what the node says of itself.
    fn card(&self) -> Option<Arc<Card>> {
        let mut cards = self.node.roster().cards().into_iter();
        cards.find(|card| card.node == self.name)
    }
}

impl<'a> Nodes<'a> {
    /// Starts so many on each server; those that are cut off have the first names.
    async fn start(cluster: &'a Cluster, each: [usize; 3]) -> Result<Self, Box<dyn Error>> {
        let namespace = format!("parted-{}", fastrand::u32(..));
        let mut nodes = Self { cluster, namespace, running: Vec::new(), fit: Arc::default() };
        for (place, side) in ["m", "n", "a"].into_iter().enumerate() {
            for number in 0..each[place] {
                nodes.add(place, &format!("{side}-{number}")).await;
            }
        }
        Ok(nodes)
    }

    /// Starts a node, again until the streams have a leader: it may be cut off.
    async fn add(&mut self, place: usize, name: &str) {
        let mut started = None;
        until_within(LIMIT, "start", async || {
            let node = self.describe(place, name).start().await;
            started = Some(node.map_err(|error| error.to_string())?);
            Ok(())
        })
        .await;
        let name = name.to_owned();
        let seats = started.map(|node| Seat { place, name, node });
        self.running.extend(seats);
    }

    fn describe(&self, place: usize, name: &str) -> Node {
        let fit = Arc::clone(&self.fit);
        let check = async move || fit.load(SeqCst).then_some(()).ok_or("out of breath");
        Node::new(name, self.cluster.buses[place].clone())
            .namespace(&self.namespace)
            .heartbeat(HEARTBEAT, TTL)
            .check_every(HEARTBEAT)
            .group(yard().healthy_if("breath", check))
    }

    /// Stops a node; returns the place where it was.
    async fn stop(&mut self, name: &str) -> Result<usize, Box<dyn Error>> {
        let at = self.running.iter().position(|seat| seat.name == name);
        let Seat { place, node, .. } = self.running.swap_remove(at.ok_or("a node")?);
        node.stop().await?;
        Ok(place)
    }

    /// Says what is amiss: each node of the wanted places must be known to each there,
    /// once and as it says it is itself, and nobody else.
    fn amiss(&self, wanted: impl Fn(usize) -> bool) -> Result<(), String> {
        let side = || self.running.iter().filter(|seat| wanted(seat.place));
        let mut truth: Vec<_> = side().filter_map(Seat::card).collect();
        truth.sort_by(|a, b| a.instance.cmp(&b.instance));
        for Seat { name, node, .. } in side() {
            let (known, yards) = (node.roster().cards(), node.roster().of("yard"));
            let names: BTreeSet<_> = yards.iter().map(Instance::node).collect();
            let once = yards.len() == truth.len() && names.len() == truth.len();
            if known != truth || !once {
                let (known, truth) = (said(&known), said(&truth));
                return Err(format!("{name} knows {known:?}, not {truth:?}: {yards:?}"));
            }
        }
        Ok(())
    }

    /// Cuts, lets both sides change, mends; returns how long it took from the mending,
    /// and from when the servers heard one another.
    async fn part(&mut self, hole: Hole) -> Result<(Duration, Duration), Box<dyn Error>> {
        let cluster = self.cluster;
        cluster.cut();
        self.change().await?;
        if hole.until == Until::Noticed {
            until_within(LIMIT, "end of the routes", async || {
                cluster.are_parted().await
            })
            .await;
            // Its name is free over here only now.
            self.stop("a-1").await?;
            self.add(0, "a-1").await;
        }
        if hole.until != Until::Changed {
            until_within(LIMIT, "sides", async || {
                self.amiss(|place| place != FAR)?;
                self.amiss(|place| place == FAR)
            })
            .await;
        }
        let mended = Instant::now();
        if hole.torn {
            cluster.renew();
        } else {
            cluster.mend();
        }
        let (routed, all) = tokio::join!(cluster.routed(), async {
            until_within(LIMIT, "roster of all", async || self.amiss(|_| true)).await;
            Instant::now()
        });
        Ok((all - mended, all.saturating_duration_since(routed)))
    }

    /// Changes every card, starts one anew, and ends one of the side that is cut off:
    /// none can start there, where streams have no leader.
    async fn change(&mut self) -> Verdict {
        self.fit.fetch_not(SeqCst);
        let place = self.stop("m-0").await?;
        self.add(place, "m-0").await;
        self.stop("a-0").await?;
        let fit = self.fit.load(SeqCst);
        until_within(LIMIT, "change of all cards", async || {
            let cards = self.running.iter().filter_map(Seat::card);
            let late = cards.filter(|card| (card.services[0].status == Status::Healthy) != fit);
            let late: Vec<_> = late.map(|card| card.node.clone()).collect();
            if late.is_empty() {
                Ok(())
            } else {
                Err(format!("{late:?}"))
            }
        })
        .await;
        Ok(())
    }

    /// Puts back who was ended and who was moved.
    async fn restore(&mut self) -> Verdict {
        self.stop("a-1").await?;
        for name in ["a-0", "a-1"] {
            self.add(FAR, name).await;
        }
        Ok(())
    }
}

fn said(cards: &[Arc<Card>]) -> Vec<String> {
    cards
        .iter()
        .map(|card| format!("{}/{}", card.instance, card.revision))
        .collect()
}

async fn partitions(each: [usize; 3], holes: &[Hole]) -> Verdict {
    let cluster = Cluster::start().await?;
    let mut nodes = Nodes::start(&cluster, each).await?;
    for Hole { until, torn } in holes.iter().copied() {
        until_within(LIMIT, "roster", async || nodes.amiss(|_| true)).await;
        let (mended, routed) = nodes.part(Hole { until, torn }).await?;
        eprintln!(
            "{} nodes, cut until {until:?}, torn {torn}: all know all {mended:?} after it was \
             mended, {routed:?} after the servers heard one another",
            nodes.running.len(),
        );
        assert!(routed < CONVERGED, "{routed:?}");
        nodes.restore().await?;
    }
    for seat in nodes.running.drain(..) {
        seat.node.stop().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_was_cut_off_brings_its_nodes_back() -> Verdict {
    partitions(FEW, &HOLES).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_was_cut_off_brings_its_many_nodes_back() -> Verdict {
    partitions(MANY, &HOLES[1..4]).await
}

/// Ten partitions of each kind, with few nodes and with many; takes minutes:
///
/// ```text
/// cargo test --test mesh parted::ten -- --ignored --nocapture
/// ```
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes"]
async fn ten_partitions_of_each_kind_in_a_row() -> Verdict {
    let holes = HOLES.repeat(10);
    partitions(FEW, &holes).await?;
    partitions(MANY, &holes).await
}
