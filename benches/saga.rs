//! A checkout as a saga, against a hand-written loop that does the same: takes
//! the order, queues it in a stream so that any process can go on with it, takes
//! it from there, appends the same journal with the same expectations, calls the
//! same commands, answers, and acknowledges.
//!
//! Quantity: checkouts answered per second, three commands each; every tenth is
//! declined and its goods are given back. On NATS who orders, who runs the
//! checkouts and who is called are three processes.

mod support;

use async_nats::{HeaderMap, Request, jetstream};
use callboard::{
    Abort, Actor, Answer, Bus, Client, Command, Context, Failure, Group, Infallible, Node,
    Rejection, Running, Saga, Steps, Subject,
    bus::{Append, Consumer, ConsumerConfig, Expect, Message, Stored, Stream, StreamConfig},
    message::{Key, Namespace, codec, headers},
};
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use std::{
    borrow::Cow,
    cell::RefCell,
    collections::HashMap,
    future::Future,
    rc::Rc,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};
use support::{
    Outcome, Task,
    child::{Assistant, until_dismissed},
    connz::Telling,
    raw::{command_headers, connect},
    round::{Round, compare_so},
    servers::folder::Folder,
    wanted,
};
use tokio::{
    sync::oneshot,
    task::{LocalSet, spawn_local},
    time::{Instant, timeout},
};
use uuid::Uuid;

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
const RAW: &str = "bench.raw.buy";
/// How many are worked on at once, as in a saga.
const PENDING: usize = 4_096;

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

const fn is_declined(at: u64) -> bool {
    at % 10 == 3
}

fn id(at: u64) -> String {
    format!("order-{at:08}")
}

fn number(id: &str) -> u64 {
    id.rsplit('-')
        .next()
        .and_then(|number| number.parse().ok())
        .expect("an id ends in a number")
}

fn hundredths(count: u64) -> String {
    format!("{}.{:02}", count / COUNTED, count % COUNTED)
}

// ===== the shop =====

macro_rules! command {
    ($name:ident $subject:literal { $($field:ident: $type:ty),* } => $reply:ty, $no:ty) => {
        #[derive(Clone, Debug, Serialize, Deserialize)]
        struct $name { order: String, $($field: $type),* }

        impl Command for $name {
            const SUBJECT: Subject = Subject::new($subject);
            type Outcome = Result<$reply, $no>;

            fn key(&self) -> Cow<'_, str> {
                Cow::Borrowed(&self.order)
            }
        }
    };
}

command!(Hold "shelf.hold" { item: String } => String, Infallible);
command!(Free "shelf.free" { hold: String } => (), Infallible);
command!(Pay "purse.pay" { amount: u64, declined: bool } => u64, Declined);
command!(Confirm "orders.confirm" {} => (), Infallible);
command!(Buy "checkout.buy" { declined: bool } => u64, NotBought);

#[derive(Debug, Serialize, Deserialize, thiserror::Error)]
#[error("the card is declined")]
struct Declined;
impl Rejection for Declined {}

#[derive(Debug, Serialize, Deserialize, thiserror::Error)]
#[error("{0}")]
struct NotBought(String);
impl Rejection for NotBought {}

impl From<Abort> for NotBought {
    fn from(abort: Abort) -> Self {
        Self(abort.reason().to_owned())
    }
}

fn clerk(name: &'static str) -> Actor<()> {
    Actor::new(name, async || Ok::<_, Failure>(()))
}

/// Domains that answer at once: what is measured is not theirs.
async fn shop(bus: Bus) -> Outcome<Running> {
    let shelf = clerk("shelf")
        .answer(
            async |(): &mut (), hold: Hold, _: &Context| -> Answer<Hold> {
                Ok(format!("hold of {}", hold.order))
            },
        )
        .answer(async |(): &mut (), _: Free, _: &Context| -> Answer<Free> { Ok(()) });
    let purse = clerk("purse").answer(async |(): &mut (), pay: Pay, _: &Context| -> Answer<Pay> {
        if pay.declined {
            return Err(Declined.into());
        }
        Ok(pay.amount)
    });
    let orders = clerk("orders")
        .answer(async |(): &mut (), _: Confirm, _: &Context| -> Answer<Confirm> { Ok(()) });
    let node = Node::new("shop", bus)
        .namespace("bench")
        .group(Group::new("shelf").child(shelf))
        .group(Group::new("purse").child(purse))
        .group(Group::new("orders").child(orders));
    Ok(node.start().await?)
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

fn hold_of(order: &str) -> Hold {
    Hold { order: order.to_owned(), item: "a bottle of the house's own".to_owned() }
}

fn free_of(order: &str, hold: &str) -> Free {
    Free { order: order.to_owned(), hold: hold.to_owned() }
}

fn pay_of(order: &str, declined: bool) -> Pay {
    Pay { order: order.to_owned(), amount: 70_000, declined }
}

// ===== ours =====

async fn checkout(steps: &mut Steps, buy: Buy) -> Result<u64, Abort> {
    let Buy { order, declined } = buy;
    let freed = order.clone();
    let free = move |hold: &String| free_of(&freed, hold);
    steps.call(hold_of(&order)).undo(free).await?;
    let paid = steps.call(pay_of(&order, declined)).await?;
    steps.call(Confirm { order }).await?;
    Ok(paid)
}

async fn node(bus: Bus) -> Outcome<Running> {
    let saga = Saga::new("checkout", checkout).answer(Buy::clone);
    let node = Node::new("runner", bus)
        .namespace("bench")
        .group(Group::new("checkout").child(saga));
    Ok(node.start().await?)
}

async fn buy(client: Client, at: u64) {
    let declined = is_declined(at);
    let bought = client.call(Buy { order: id(at), declined }).await;
    assert_eq!(bought.is_err(), declined, "{bought:?}");
}

// ===== raw =====

/// What one saga of each kind wrote, to be written again by hand.
struct Script {
    errand: Stored,
    good: Vec<Stored>,
    declined: Vec<Stored>,
}

impl Script {
    /// Reads what the sagas that began at this number wrote.
    async fn read(bus: &Bus, from: u64) -> Outcome<Self> {
        let namespace: Namespace = "bench".parse()?;
        let journal = bus
            .stream(&StreamConfig::sagas(&namespace, "checkout"))
            .await?;
        let read = async |at: u64| -> Outcome<Vec<Stored>> {
            let subject = namespace.saga("checkout", &Key::new(&id(at))?);
            Ok(journal.read(&subject, 1).await?.all().await?)
        };
        let good = (from..from + 10)
            .find(|at| !is_declined(*at))
            .unwrap_or(from);
        let declined = (from..from + 10)
            .find(|at| is_declined(*at))
            .unwrap_or(from);
        let errands = bus
            .stream(&StreamConfig::errands(&namespace, "checkout"))
            .await?;
        let subject = format!("bench.run.checkout.{}", id(good));
        let errand = errands.last(&subject).await?.ok_or("nothing was started")?;
        let script = Self { errand, good: read(good).await?, declined: read(declined).await? };
        assert_eq!(
            (script.good.len(), script.declined.len()),
            (4, 4),
            "pages of a journal"
        );
        Ok(script)
    }

    fn pages(&self, declined: bool) -> &[Stored] {
        if declined { &self.declined } else { &self.good }
    }
}

/// Who waits for the end of a checkout.
type Waiting = RefCell<HashMap<String, oneshot::Sender<bool>>>;

/// What is done by hand, on either bus.
trait Hand {
    fn script(&self) -> &Script;

    fn waiting(&self) -> &Waiting;

    /// Appends what a saga appended; returns its sequence.
    async fn append(&self, at: Place<'_>, like: &Stored) -> u64;

    async fn call<C: Command>(&self, command: C) -> bool;

    /// Queues a checkout, and waits for its end.
    async fn order(&self, order: String) -> bool {
        let (ended, end) = oneshot::channel();
        self.waiting().borrow_mut().insert(order.clone(), ended);
        self.append(Place::Errand(&order), &self.script().errand)
            .await;
        end.await.expect("it ends")
    }

    /// Checks out as the saga does: intent before each call, result after it.
    async fn run(&self, order: &str) {
        let declined = is_declined(number(order));
        let [first, second, third, fourth] = self.script().pages(declined) else {
            unreachable!("a journal has four pages");
        };
        let last = self.append(Place::Journal(order, 0), first).await;
        assert!(self.call(hold_of(order)).await);
        let last = self.append(Place::Journal(order, last), second).await;
        assert_eq!(self.call(pay_of(order, declined)).await, !declined);
        let last = self.append(Place::Journal(order, last), third).await;
        if declined {
            let hold = format!("hold of {order}");
            assert!(self.call(free_of(order, &hold)).await);
        } else {
            assert!(self.call(Confirm { order: order.to_owned() }).await);
        }
        self.append(Place::Journal(order, last), fourth).await;
        let waiting = self.waiting().borrow_mut().remove(order);
        waiting.expect("it was ordered here").send(!declined).ok();
    }
}

/// Where something is appended, and after what.
enum Place<'a> {
    Errand(&'a str),
    Journal(&'a str, u64),
}

impl Place<'_> {
    fn subject(&self) -> String {
        match self {
            Self::Errand(order) => format!("bench.run.raw.{order}"),
            Self::Journal(order, _) => format!("bench.saga.raw.{order}"),
        }
    }

    const fn after(&self) -> Option<u64> {
        match self {
            Self::Errand(_) => None,
            Self::Journal(_, after) => Some(*after),
        }
    }
}

/// Makes streams like those of a saga.
async fn other_streams(bus: &Bus) -> Outcome<(Stream, Stream)> {
    let namespace: Namespace = "bench".parse()?;
    let journal = bus.stream(&StreamConfig::sagas(&namespace, "raw")).await?;
    let errands = bus
        .stream(&StreamConfig::errands(&namespace, "raw"))
        .await?;
    Ok((journal, errands))
}

/// Returns how many messages the saga's streams have.
async fn appended(bus: &Bus) -> Outcome<u64> {
    let namespace: Namespace = "bench".parse()?;
    let journal = bus
        .stream(&StreamConfig::sagas(&namespace, "checkout"))
        .await?;
    let errands = bus
        .stream(&StreamConfig::errands(&namespace, "checkout"))
        .await?;
    Ok(journal.info().await?.messages + errands.info().await?.messages)
}

struct OnNats {
    client: async_nats::Client,
    context: jetstream::Context,
    script: Script,
    waiting: Waiting,
}

async fn buy_raw(client: async_nats::Client, at: u64) {
    let declined = is_declined(at);
    let buy = Buy { order: id(at), declined };
    let request = Request::new()
        .headers(command_headers())
        .payload(codec::encode(&buy).expect("it is small"));
    let reply = client.send_request(RAW, request).await;
    let reply = reply.expect("somebody answers");
    let bought: bool = codec::decode(&reply.payload).expect("yes or no");
    assert_eq!(bought, !declined);
}

/// Takes orders from one side, and what is queued from the other.
async fn assist_raw(bus: Bus, url: &str, from: u64) -> Outcome {
    let script = Script::read(&bus, from).await?;
    other_streams(&bus).await?;
    let client = connect(url).await?;
    let context = jetstream::new(client.clone());
    let stream = context.get_stream_no_info("bench_RUN_raw").await?;
    let config = jetstream::consumer::pull::Config {
        durable_name: Some("runners".to_owned()),
        filter_subject: "bench.run.raw.*".to_owned(),
        ack_wait: Duration::from_secs(8),
        max_ack_pending: i64::try_from(PENDING)?,
        ..Default::default()
    };
    let mut queued = stream.create_consumer(config).await?.messages().await?;
    let mut orders = client.queue_subscribe(RAW, "checkout".into()).await?;
    let raw = OnNats { client, context, script, waiting: Waiting::default() };
    let raw = Rc::new(raw);
    let serve = async {
        loop {
            tokio::select! {
                Some(request) = orders.next() => {
                    let raw = Rc::clone(&raw);
                    spawn_local(async move {
                        let buy: Buy = codec::decode(&request.payload).expect("an order");
                        let bought = raw.order(buy.order).await;
                        let bought = codec::encode(&bought).expect("yes or no");
                        let reply = request.reply.expect("it is a request");
                        raw.client.publish(reply, bought).await.expect("there is a connection");
                    });
                }
                Some(Ok(message)) = queued.next() => {
                    let raw = Rc::clone(&raw);
                    spawn_local(async move {
                        let order = message.subject.rsplit('.').next().unwrap_or_default();
                        raw.run(order).await;
                        message.ack().await.expect("there is a connection");
                    });
                }
                else => return,
            }
        }
    };
    let local = LocalSet::new();
    tokio::select! {
        () = local.run_until(serve) => {}
        () = until_dismissed() => {}
    }
    Ok(())
}

impl Hand for OnNats {
    fn script(&self) -> &Script {
        &self.script
    }

    fn waiting(&self) -> &Waiting {
        &self.waiting
    }

    async fn append(&self, at: Place<'_>, like: &Stored) -> u64 {
        let mut said = HeaderMap::new();
        for (name, value) in like.headers.iter() {
            said.insert(name, value);
        }
        said.insert(headers::MSG_ID, Uuid::now_v7().to_string());
        let mut message = jetstream::message::PublishMessage::build()
            .payload(like.payload.clone())
            .headers(said);
        if let Some(after) = at.after() {
            message = message.expected_last_subject_sequence(after);
        }
        self.context
            .send_publish(at.subject(), message)
            .await
            .expect("there is a connection")
            .await
            .expect("nobody else writes")
            .sequence
    }

    async fn call<C: Command>(&self, command: C) -> bool {
        let mut said = command_headers();
        said.insert(headers::CB_CORRELATION, Uuid::now_v7().to_string());
        said.insert(headers::CB_CAUSATION, Uuid::now_v7().to_string());
        let payload = codec::encode(&command).expect("it is small");
        let request = Request::new().headers(said).payload(payload);
        let subject = format!("bench.cmd.{}", C::SUBJECT);
        let reply = self.client.send_request(subject, request).await;
        let reply = reply.expect("somebody answers");
        let refused = reply
            .headers
            .is_some_and(|said| said.get("Nats-Service-Error").is_some());
        !refused
    }
}

struct Embedded {
    client: Client,
    journal: Stream,
    errands: Stream,
    script: Script,
    waiting: Waiting,
}

async fn buy_by_hand(raw: &Embedded, at: u64) {
    assert_eq!(raw.order(id(at)).await, !is_declined(at));
}

impl Embedded {
    /// Takes what is queued.
    async fn serve(self: &Rc<Self>, mut queued: Consumer) {
        while let Ok(delivery) = queued.next().await {
            let raw = Rc::clone(self);
            spawn_local(async move {
                let order = delivery.message.subject.rsplit('.').next();
                raw.run(order.unwrap_or_default()).await;
                delivery.ack().await.expect("the bus is there");
            });
        }
    }
}

impl Hand for Embedded {
    fn script(&self) -> &Script {
        &self.script
    }

    fn waiting(&self) -> &Waiting {
        &self.waiting
    }

    async fn append(&self, at: Place<'_>, like: &Stored) -> u64 {
        let mut said = like.headers.clone();
        said.insert(headers::MSG_ID, Uuid::now_v7().to_string())
            .expect("it is text");
        let message = Message::new(at.subject(), like.payload.clone()).headers(said);
        let (stream, expect) = match at.after() {
            None => (&self.errands, Expect::Any),
            Some(after) => (&self.journal, Expect::Last(after)),
        };
        match stream.append(message, expect).await {
            Ok(Append::Committed { sequence, .. }) => sequence,
            other => unreachable!("nobody else writes: {other:?}"),
        }
    }

    async fn call<C: Command>(&self, command: C) -> bool {
        self.client.call(command).await.is_ok()
    }
}
