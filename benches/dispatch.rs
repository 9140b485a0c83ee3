//! A message to an actor of the same process, against bare actix, kameo and
//! ractor; on one thread, and from one thread to another.
//!
//! Quantity: messages per second. `raw` is the faster of kameo and ractor.

mod peers;
mod support;

use callboard::{Actor, Answer, Bus, Client, Command, Context, Failure, Group, Infallible, Node};
use callboard::{Running, Subject};
use peers::{Adder, Task};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use support::{
    Outcome,
    round::{Round, median, report},
    wanted,
};

const ROUNDS: usize = 7;
const ROUND_WITHIN: Duration = Duration::from_secs(25);

fn main() -> Outcome {
    if !matches!(support::task(), support::Task::Measure) {
        return Ok(());
    }
    let runtime = support::runtime();
    let node = runtime.block_on(start())?;
    let client = node.client();
    let tasks = [
        ("tell", Task::Tell),
        ("ask", Task::Ask),
        ("ask64", Task::Ask64),
    ];
    for (name, task) in tasks {
        compare(&format!("dispatch/{name}"), task, false, || {
            runtime.block_on(inside(&client, task, false))
        });
    }
    compare("dispatch/ask-from-handler", Task::Ask, false, || {
        runtime.block_on(inside(&client, Task::Ask, true))
    });
    for (name, task) in [("tell", Task::Tell), ("ask64", Task::Ask64)] {
        compare(&format!("dispatch/{name}-across"), task, true, || {
            runtime.block_on(peers::spawned(client.clone(), task, false))
        });
    }
    Ok(runtime.block_on(node.stop())?)
}

/// Runs all four in turn, and prints how ours does against each.
fn compare(name: &str, task: Task, across: bool, ours: impl Fn() -> Round) {
    if !wanted(name) {
        return;
    }
    let sides: [&dyn Fn() -> Round; 4] = [
        &ours,
        &|| peers::actix(task, across),
        &|| peers::kameo(task, across),
        &|| peers::ractor(task, across),
    ];
    let mut rounds: [Vec<Round>; 4] = Default::default();
    for number in 0..=ROUNDS {
        for (side, rounds) in sides.iter().zip(&mut rounds) {
            let round = side();
            if number > 0 {
                rounds.push(round);
            }
        }
    }
    let [ours, actix, kameo, ractor] = rounds;
    let ratio = |peer: &[Round]| {
        let ratios = ours.iter().zip(peer);
        median(ratios.map(|(ours, peer)| ours.rate() / peer.rate()))
    };
    let versus = [ratio(&actix), ratio(&kameo), ratio(&ractor)];
    let [actix, kameo_, ractor_] = versus;
    let more = format!(" actix={actix:.2} kameo={kameo_:.2} ractor={ractor_:.2}");
    let best = if kameo_ < ractor_ { &kameo } else { &ractor };
    report(name, &ours, best, &more);
}

// ===== ours =====

#[derive(Debug, Serialize, Deserialize)]
struct Add {
    amount: u64,
}

impl Command for Add {
    const SUBJECT: Subject = Subject::new("sums.add");
    type Outcome = Result<u64, Infallible>;
}

struct Sum(u64);

impl Sum {
    async fn open() -> Result<Self, Failure> {
        Ok(Self(0))
    }

    async fn add(&mut self, add: Add, _: &Context) -> Answer<Add> {
        self.0 += add.amount;
        Ok(self.0)
    }
}

impl Adder for Client {
    async fn tell(&self, amount: u64) {
        let told = Self::tell(self, Add { amount }).await;
        assert!(told.is_ok(), "{told:?}");
    }

    async fn ask(&self, amount: u64) -> u64 {
        self.call(Add { amount }).await.expect("it is answered")
    }
}

/// Asks for a round on the node's own thread.
#[derive(Debug, Serialize, Deserialize)]
struct Drive {
    task: Task,
    from_handler: bool,
}

impl Command for Drive {
    const SUBJECT: Subject = Subject::new("drivers.drive");
    type Outcome = Result<(u64, Duration), Infallible>;
}

struct Driver;

impl Driver {
    async fn open() -> Result<Self, Failure> {
        Ok(Self)
    }

    async fn drive(&mut self, drive: Drive, ctx: &Context) -> Answer<Drive> {
        let round = if drive.from_handler {
            let started = std::time::Instant::now();
            for _ in 0..peers::ASKS {
                ctx.call(Add { amount: 1 }).await?;
            }
            Round::of(peers::ASKS, started.elapsed())
        } else {
            peers::spawned(ctx.client().clone(), drive.task, true).await
        };
        Ok((round.count, round.took))
    }
}

async fn start() -> Outcome<Running> {
    let sum = Actor::new("sum", Sum::open)
        .answer(Sum::add)
        .mailbox(1 << 20);
    let driver = Actor::new("driver", Driver::open).answer(Driver::drive);
    Ok(Node::new("one", Bus::embedded())
        .group(Group::new("sums").child(sum))
        .group(Group::new("drivers").child(driver))
        .start()
        .await?)
}

async fn inside(client: &Client, task: Task, from_handler: bool) -> Round {
    let drive = client.call(Drive { task, from_handler });
    let (count, took) = drive
        .timeout(ROUND_WITHIN)
        .await
        .expect("the round ends in time");
    Round::of(count, took)
}
