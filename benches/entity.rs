//! A command to an entity in another process, stored and answered, against a
//! hand-written loop: request, append with an expectation, reply.
//!
//! Quantity: commands stored and answered per second; 256 in flight on 10,000
//! keys, and one key against publishing one after the other.

mod support;

use async_nats::{Client as Raw, HeaderMap, Request, jetstream::message::PublishMessage};
use callboard::{
    Bus, Client, Command, Entity, Event, Group, Infallible, Node, Subject,
    bus::StreamConfig,
    message::{codec, headers},
};
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, collections::HashMap, future::Future, sync::Arc, time::Duration};
use support::{
    Outcome, Task,
    child::{Assistant, until_dismissed},
    raw::{command_headers, connect, event_headers},
    round::{Round, compare},
    servers::nats::Server,
};
use tokio::{sync::Mutex, task::JoinSet, time::Instant};

const SLICE: Duration = Duration::from_millis(800);
const KEYS: u64 = 10_000;
const SUBJECT: &str = "bench.raw.add";

fn main() -> Outcome {
    match support::task() {
        Task::Measure => support::runtime().block_on(measure()),
        Task::Assist(role) if role[0] == "ours" => support::runtime().block_on(answer(&role[1])),
        Task::Assist(role) => support::runtime().block_on(answer_raw(&role[1])),
        Task::Nothing => Ok(()),
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Add {
    account: String,
    amount: u64,
    note: String,
}

impl Add {
    fn new(account: String) -> Self {
        let note = "with the compliments of the house, to be drunk before noon".to_owned();
        Self { account, amount: 3, note }
    }
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
    amount: u64,
    note: String,
}

impl Event for Added {
    const SUBJECT: Subject = Subject::new("bank.added");

    fn key(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.account)
    }
}

async fn measure() -> Outcome {
    let server = Server::start();
    let url = server.url();
    let _ours = Assistant::start(&["ours", &url]);
    let _raw = Assistant::start(&["raw", &url]);
    let client = Client::new(Bus::nats(&*url).await?, "bench".parse()?);
    let raw = connect(&url).await?;
    compare(
        "entity/10k",
        async || fly(256, |at| add(client.clone(), key(at))).await,
        async || fly(256, |at| add_raw(raw.clone(), key(at))).await,
    )
    .await;
    let bus = Bus::nats(&*url).await?;
    bus.stream(&StreamConfig::events(&"bench".parse()?, "hot"))
        .await?;
    let context = async_nats::jetstream::new(connect(&url).await?);
    let last = Arc::new(Mutex::new(0));
    compare(
        "entity/hot",
        async || fly(64, |_| add(client.clone(), "hot".into())).await,
        async || {
            fly(1, |_| {
                let (context, last) = (context.clone(), Arc::clone(&last));
                async move { append("hot", "hot", &context, &mut *last.lock().await).await }
            })
            .await
        },
    )
    .await;
    Ok(())
}

fn key(at: u64) -> String {
    format!("account-{:05}", at * 7_919 % KEYS)
}

/// Keeps this many in flight for a while.
async fn fly<F>(window: u64, work: impl Fn(u64) -> F + Clone) -> Round
where
    F: Future<Output = ()>,
{
    let started = Instant::now();
    let lines = (0..window).map(async |line| {
        let (mut each, mut at) = (Vec::new(), line * 1_009);
        while started.elapsed() < SLICE {
            let sent = Instant::now();
            work(at).await;
            each.push(sent.elapsed());
            at += 1;
        }
        each
    });
    let each: Vec<_> = futures_util::future::join_all(lines).await.concat();
    Round { count: each.len() as u64, took: started.elapsed(), each }
}

// ===== ours =====

async fn add(client: Client, account: String) {
    let answer = client.call(Add::new(account)).await;
    assert!(answer.is_ok(), "{answer:?}");
}

#[derive(Default)]
struct Account {
    balance: u64,
}

async fn answer(url: &str) -> Outcome {
    let account = Entity::new("account", Account::default)
        .decide(|account: &Account, add: Add| {
            let Add { account: key, amount, note } = add;
            Ok((
                Added { account: key, amount, note },
                account.balance + amount,
            ))
        })
        .apply(|account: &mut Account, added: &Added| account.balance += added.amount)
        .cached(20_000);
    let node = Node::new("callee", Bus::nats(url).await?)
        .namespace("bench")
        .group(Group::new("bank").child(account))
        .start()
        .await?;
    until_dismissed().await;
    Ok(node.stop().await?)
}

// ===== raw =====

async fn add_raw(client: Raw, account: String) {
    let payload = codec::encode(&Add::new(account)).expect("it is small");
    let request = Request::new().headers(command_headers()).payload(payload);
    let reply = client.send_request(SUBJECT, request).await;
    let reply = reply.expect("somebody answers");
    codec::decode::<u64>(&reply.payload).expect("a balance");
}

/// What the loop knows of an account: its balance, and its last event.
#[derive(Default)]
struct Known {
    balance: u64,
    last: u64,
}

async fn answer_raw(url: &str) -> Outcome {
    let bus = Bus::nats(url).await?;
    bus.stream(&StreamConfig::events(&"bench".parse()?, "raw"))
        .await?;
    let client = connect(url).await?;
    let context = async_nats::jetstream::new(client.clone());
    let mut requests = client.queue_subscribe(SUBJECT, "bank".into()).await?;
    let mut accounts: HashMap<String, Arc<Mutex<Known>>> = HashMap::new();
    let mut working = JoinSet::new();
    let serve = async {
        while let Some(request) = requests.next().await {
            while working.try_join_next().is_some() {}
            let add: Add = codec::decode(&request.payload).expect("a command");
            let known = accounts.entry(add.account.clone()).or_default();
            let (known, client, context) = (Arc::clone(known), client.clone(), context.clone());
            working.spawn(async move {
                let mut known = known.lock().await;
                append("raw", &add.account, &context, &mut known.last).await;
                known.balance += add.amount;
                let balance = codec::encode(&known.balance).expect("a number");
                drop(known);
                let reply = request.reply.expect("it is a request");
                client
                    .publish(reply, balance)
                    .await
                    .expect("there is a connection");
            });
        }
    };
    tokio::select! {
        () = serve => {}
        () = until_dismissed() => {}
    }
    Ok(())
}

async fn append(
    domain: &str,
    account: &str,
    context: &async_nats::jetstream::Context,
    last: &mut u64,
) {
    let Add { account: key, amount, note } = Add::new(account.into());
    let added = Added { account: key, amount, note };
    let mut said: HeaderMap = event_headers();
    said.insert(headers::CE_CORRELATION, uuid::Uuid::now_v7().to_string());
    said.insert(headers::CE_CAUSATION, uuid::Uuid::now_v7().to_string());
    let message = PublishMessage::build()
        .payload(codec::encode(&added).expect("it is small"))
        .headers(said)
        .expected_last_subject_sequence(*last);
    let subject = format!("bench.evt.{domain}.{account}");
    *last = context
        .send_publish(subject, message)
        .await
        .expect("there is a connection")
        .await
        .expect("nobody else writes")
        .sequence;
}
