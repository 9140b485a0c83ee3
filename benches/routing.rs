//! What a policy, a breaker and a routing table add to a call, here and to another
//! node.
//!
//! Quantity: calls per second of an actor with 64 in flight, against bare calls to
//! nodes of the same kind: `routing/` with a routing table (the less busy of two) and a policy of
//! a deadline, retries, a rate limit, a bulkhead and a breaker, `route/` with the
//! table only, `policy/` with the policy only. Local calls go to an actor on the
//! caller's own thread; remote ones to one of two other nodes, over NATS; `crowd` ones to
//! an actor on the caller's thread which 200 others have too, and which is preferred.

mod support;

use callboard::{
    Actor, Answer, Bus, Client, Command, Context, Failure, Group, Infallible, Node, RouteTable,
    Running, Subject,
    bus::Message,
    message::codec,
    policy::{Bulkhead, Limits, Policies, Policy, Rate, Retry},
    roster::Card,
};
use futures_util::future::try_join_all;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::time::Duration;
use support::{
    Outcome, Task, desk,
    order::Order,
    round::{Round, compare},
    servers::{nats::Server, way::until},
    wanted,
};
use tokio::time::Instant;

const SLICE: Duration = Duration::from_millis(300);
const IN_FLIGHT: usize = 64;
const CROWD: usize = 200;

/// What stands between a caller and its target.
#[derive(Clone, Copy)]
struct Between {
    name: &'static str,
    table: bool,
    policy: bool,
}

const BARE: Between = Between { name: "bare", table: false, policy: false };

const ALL: [Between; 3] = [
    Between { name: "routing", table: true, policy: true },
    Between { name: "route", table: true, policy: false },
    Between { name: "policy", table: false, policy: true },
];

fn main() -> Outcome {
    match support::task() {
        Task::Measure => support::runtime().block_on(measure()),
        Task::Assist(_) | Task::Nothing => Ok(()),
    }
}

async fn measure() -> Outcome {
    let server = Server::start();
    let bus = Bus::nats(&*server.url()).await?;
    for place in ["local", "remote"] {
        for between in ALL {
            let name = format!("{}/{place}", between.name);
            if wanted(&name) {
                calling(&name, between, &bus).await?;
            }
        }
    }
    if wanted("route/crowd") {
        let crowd = Between { name: "crowd", table: true, policy: false };
        calling("route/crowd", crowd, &bus).await?;
    }
    Ok(())
}

/// Calls with something between, and without.
async fn calling(name: &str, between: Between, bus: &Bus) -> Outcome {
    let local = !name.ends_with("remote");
    let (bare, ours) = (
        nodes(BARE, local, bus).await?,
        nodes(between, local, bus).await?,
    );
    let (client, plain) = (ours[0].client(), bare[0].client());
    compare(
        name,
        async || round(&client).await,
        async || round(&plain).await,
    )
    .await;
    for node in bare.into_iter().chain(ours) {
        node.stop().await?;
    }
    Ok(())
}

/// Starts a node that calls, first, and those that answer it.
async fn nodes(between: Between, local: bool, bus: &Bus) -> Outcome<Vec<Running>> {
    let node = |part: &str| Node::new(part, bus.clone()).namespace(between.name);
    let mut front = node("front").group(drivers());
    if between.policy {
        front = front.policies(policies());
    }
    let mut nodes = Vec::new();
    if local {
        nodes.push(front.group(desk::group()).start().await?);
    } else {
        nodes.push(front.start().await?);
        for desk in ["desk-1", "desk-2"] {
            nodes.push(node(desk).group(desk::group()).start().await?);
        }
    }
    let desks = nodes.len().max(2) - 1;
    until("all desks", async || {
        nodes[0].roster().of("bench").len() >= desks
    })
    .await;
    let is_crowd = between.name == "crowd";
    if is_crowd {
        crowd(bus, &nodes[0]).await?;
    }
    if between.table {
        let spread = if is_crowd { "local" } else { "least-in-flight" };
        nodes[0].set_routes(&table(spread)?).await?;
    }
    Ok(nodes)
}

fn table(spread: &str) -> Outcome<RouteTable> {
    let eject = json!({ "failures": 7, "base": "30s" });
    let route = json!({ "to": "bench", "spread": spread, "eject": eject });
    Ok(serde_json::from_value(json!({ "route": [route] }))?)
}

/// Has a node believe that many others answer what it does.
async fn crowd(bus: &Bus, node: &Running) -> Outcome {
    for number in 0..CROWD {
        let service = json!({
            "name": "bench", "version": "1.0.0", "status": "healthy", "answers": ["bench.order"],
        });
        let card: Card = serde_json::from_value(json!({
            "instance": format!("other-{number}-1"), "node": format!("other-{number}"),
            "region": "eu", "revision": 1, "ttl_ms": 3_600_000, "services": [service],
        }))?;
        let said = codec::encode(&card)?;
        bus.send(Message::new("crowd.sys.node.presence.news.card", said))
            .await?;
    }
    until("a crowd", async || node.roster().of("bench").len() > CROWD).await;
    Ok(())
}

/// Builds a policy that has nothing to do as long as all is well.
fn policies() -> Policies {
    let second = Duration::from_secs(1);
    let policy = Policy::new()
        .deadline(3 * second)
        .try_within(second)
        .retry(Retry::default())
        .rate(Rate::new(100_000_000, second))
        .bulkhead(Bulkhead::new(2 * IN_FLIGHT))
        .breaker(Limits::default());
    Policies::new().domain("bench", policy)
}

// ===== the caller =====

/// Asks for a round of calls.
#[derive(Debug, Serialize, Deserialize)]
struct Drive;

impl Command for Drive {
    const SUBJECT: Subject = Subject::new("drivers.drive");
    type Outcome = Result<(u64, Duration), Infallible>;
}

struct Driver;

impl Driver {
    async fn open() -> Result<Self, Failure> {
        Ok(Self)
    }

    async fn drive(&mut self, _: Drive, ctx: &Context) -> Answer<Drive> {
        let (started, mut count) = (Instant::now(), 0);
        while started.elapsed() < SLICE {
            let orders = (0..IN_FLIGHT).map(|number| Order::new(number as u64));
            let calls = orders.map(|order| ctx.client().call(order).into_future());
            count += try_join_all(calls).await?.len() as u64;
        }
        Ok((count, started.elapsed()))
    }
}

fn drivers() -> Group {
    Group::new("drivers").child(Actor::new("driver", Driver::open).answer(Driver::drive))
}

async fn round(client: &Client) -> Round {
    let (count, took) = client.call(Drive).await.expect("it drives");
    Round::of(count, took)
}
