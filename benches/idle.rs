//! A node that has nothing to do, on NATS: what it takes all the same.
//!
//! Quantity: the share of a core over 20 s, and the memory held, of the node's
//! process and of the server's; 6 actors hear one domain each, which makes 48
//! consumers. Linux only.

mod support;

use callboard::{Actor, Bus, Context, Event, Failure, Group, Node, Subject};
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, fs, time::Duration};
use support::{
    Outcome, Task,
    child::{Assistant, until_dismissed},
    cpu::shares,
    servers::nats::Server,
};

const SPAN: Duration = Duration::from_secs(20);
const SETTLING: Duration = Duration::from_secs(3);

fn main() -> Outcome {
    match support::task() {
        Task::Measure => support::runtime().block_on(measure()),
        Task::Assist(role) => support::runtime().block_on(idle(&role[0])),
        Task::Nothing => Ok(()),
    }
}

#[expect(clippy::print_stdout, reason = "this is what a bench is for")]
async fn measure() -> Outcome {
    let server = Server::start();
    let node = Assistant::start(&[&server.url()]);
    let server = server.pid().ok_or("the server runs")?;
    let shares = shares(&[node.pid(), server], (SETTLING, SPAN)).await?;
    let processes = [("node", node.pid()), ("server", server)];
    for ((name, pid), share) in processes.into_iter().zip(shares) {
        println!(
            "name=idle/{name} core={:.2}% rss={:.1}MB",
            share * 100.0,
            megabytes(pid)?
        );
    }
    Ok(())
}

fn megabytes(pid: u32) -> Outcome<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .ok_or("a living process has memory")?;
    Ok(line.trim_end_matches("kB").trim().parse::<f64>()? / 1_024.0)
}

#[derive(Serialize, Deserialize)]
struct Ticked<const N: usize>;

const SUBJECTS: [Subject; 6] = [
    Subject::new("users.ticked"),
    Subject::new("products.ticked"),
    Subject::new("inventory.ticked"),
    Subject::new("payments.ticked"),
    Subject::new("orders.ticked"),
    Subject::new("notifications.ticked"),
];

impl<const N: usize> Event for Ticked<N> {
    const SUBJECT: Subject = SUBJECTS[N];

    fn key(&self) -> Cow<'_, str> {
        "one".into()
    }
}

struct Ear;

impl Ear {
    async fn open() -> Result<Self, Failure> {
        Ok(Self)
    }

    async fn ticked<const N: usize>(&mut self, _: Ticked<N>, _: &Context) -> Result<(), Failure> {
        Ok(())
    }
}

fn ear<const N: usize>(name: &'static str) -> Group {
    Group::new(name).child(Actor::new("ear", Ear::open).on(Ear::ticked::<N>))
}

async fn idle(url: &str) -> Outcome {
    let node = Node::new("idler", Bus::nats(url).await?)
        .group(ear::<0>("users"))
        .group(ear::<1>("products"))
        .group(ear::<2>("inventory"))
        .group(ear::<3>("payments"))
        .group(ear::<4>("orders"))
        .group(ear::<5>("notifications"))
        .start()
        .await?;
    until_dismissed().await;
    Ok(node.stop().await?)
}
