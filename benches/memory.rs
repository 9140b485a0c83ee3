//! Entities that rest in memory, on NATS: what each takes there.
//!
//! Quantity: bytes of the process that hosts them per entity, beside its state,
//! after one command each and after ten. Linux only.

mod support;

use callboard::{Bus, Client, Command, Decision, Entity, Event, Group, Infallible, Node, Subject};
use futures_util::{StreamExt, stream};
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, fs};
use support::{
    Outcome, Task,
    child::{Assistant, until_dismissed},
    servers::nats::Server,
};

const ENTITIES: u32 = 30_000;
/// Those that make the process as large as working makes it.
const BEFORE: u32 = 5_000;
const STATE: usize = size_of::<Account>();

fn main() -> Outcome {
    match support::task() {
        Task::Measure => support::runtime().block_on(measure()),
        Task::Assist(role) => support::runtime().block_on(host(&role[0])),
        Task::Nothing => Ok(()),
    }
}

#[expect(clippy::print_stdout, reason = "this is what a bench is for")]
async fn measure() -> Outcome {
    let server = Server::start();
    let host = Assistant::start(&[&server.url()]);
    let client = Client::new(Bus::nats(&*server.url()).await?, "bench".parse()?);
    let (mut done, kept) = (0, f64::from(ENTITIES));
    ask(&client, "before", BEFORE).await;
    let empty = resident(host.pid())?;
    for commands in [1_u32, 10] {
        for _ in done..commands {
            ask(&client, "account", ENTITIES).await;
        }
        done = commands;
        let each = (resident(host.pid())? - empty) / kept;
        println!("name=entity/memory/{commands} bytes={each:.0} state={STATE}");
    }
    Ok(())
}

/// Sends one command to each of so many accounts.
async fn ask(client: &Client, name: &str, count: u32) {
    stream::iter(0..count)
        .map(async |number| {
            let added = client
                .call(Add { account: format!("{name}-{number}") })
                .await;
            assert!(added.is_ok(), "{added:?}");
        })
        .buffer_unordered(256)
        .count()
        .await;
}

/// Reads how much memory a process holds, in bytes.
fn resident(pid: u32) -> Outcome<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .ok_or("a living process has memory")?;
    Ok(line.trim_end_matches("kB").trim().parse::<f64>()? * 1_024.0)
}

#[derive(Clone, Serialize, Deserialize)]
struct Add {
    account: String,
}

impl Command for Add {
    const SUBJECT: Subject = Subject::new("bank.add");
    type Outcome = Result<u64, Infallible>;

    fn key(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.account)
    }
}

#[derive(Serialize, Deserialize)]
struct Added {
    account: String,
}

impl Event for Added {
    const SUBJECT: Subject = Subject::new("bank.added");

    fn key(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.account)
    }
}

#[derive(Default)]
struct Account {
    balance: u64,
}

async fn host(url: &str) -> Outcome {
    let account = Entity::new("account", Account::default)
        .decide(|account: &Account, Add { account: key }| {
            Ok(Decision::of(Added { account: key }).reply(account.balance + 1))
        })
        .apply(|account: &mut Account, _: &Added| account.balance += 1)
        .cached(ENTITIES as usize * 2);
    let node = Node::new("host", Bus::nats(url).await?)
        .namespace("bench")
        .group(Group::new("bank").child(account))
        .start()
        .await?;
    until_dismissed().await;
    Ok(node.stop().await?)
}
