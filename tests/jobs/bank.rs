use crate::support::{
    folder::Folder,
    log::Log,
    way::{Way, until},
};
use callboard::{
    Actor, Answer, Bus, Command, Context, Entity, Event, Failure, Group, NodeError, Rejection,
    Retry, Running, Subject,
    bus::{Stored, StreamConfig},
    error::BoxError,
};
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, time::Duration};

pub(crate) const SHORT: Duration = Duration::from_millis(20);

/// A payment, and the trouble it makes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Pay {
    pub(crate) account: String,
    pub(crate) trouble: Trouble,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) enum Trouble {
    None,
    /// Fails before this attempt.
    Until(u32),
    /// Panics before this attempt.
    PanicUntil(u32),
    Reject,
    Discard,
    Always,
}

#[derive(Debug, Serialize, Deserialize, thiserror::Error)]
#[error("no money")]
pub(crate) struct NoMoney;

impl Rejection for NoMoney {}

impl Command for Pay {
    const SUBJECT: Subject = Subject::new("bank.pay");
    type Outcome = Result<(), NoMoney>;

    fn key(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.account)
    }
}

/// A command without a key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Sweep {
    pub(crate) floor: u32,
}

impl Command for Sweep {
    const SUBJECT: Subject = Subject::new("bank.sweep");
    type Outcome = Result<(), NoMoney>;
}

/// An event that makes the bank send jobs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Ordered {
    pub(crate) account: String,
    /// After how many seconds it is paid.
    pub(crate) wait: u64,
    /// Before which attempt it fails, once the job is sent.
    pub(crate) until: u32,
}

impl Event for Ordered {
    const SUBJECT: Subject = Subject::new("shop.ordered");

    fn key(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.account)
    }
}

/// A deposit, decided by an entity.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Deposit {
    pub(crate) account: String,
    pub(crate) amount: u64,
}

impl Command for Deposit {
    const SUBJECT: Subject = Subject::new("bank.deposit");
    type Outcome = Result<u64, NoMoney>;

    fn key(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.account)
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Deposited {
    pub(crate) account: String,
    pub(crate) amount: u64,
}

impl Event for Deposited {
    const SUBJECT: Subject = Subject::new("bank.deposited");

    fn key(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.account)
    }
}

#[derive(Debug, Default)]
struct Account {
    balance: u64,
}

impl Account {
    fn deposit(&self, deposit: Deposit) -> Result<(Deposited, u64), NoMoney> {
        let Deposit { account, amount } = deposit;
        if amount == 0 {
            return Err(NoMoney);
        }
        Ok((Deposited { account, amount }, self.balance + amount))
    }

    const fn deposited(&mut self, deposited: &Deposited) {
        self.balance += deposited.amount;
    }
}

async fn pay(log: &mut Log, pay: Pay, ctx: &Context) -> Answer<Pay> {
    let attempt = ctx.attempt();
    log.note(format!("{} {attempt}", pay.account));
    match pay.trouble {
        Trouble::Until(good) if attempt < good => Err(Failure::retry("rain").into()),
        Trouble::Always => Err(Failure::retry("drought").into()),
        Trouble::Discard => Err(Failure::discard("weeds").into()),
        Trouble::Reject => Err(NoMoney.into()),
        Trouble::PanicUntil(good) => {
            assert!(attempt >= good, "thunder");
            Ok(())
        }
        _ => Ok(()),
    }
}

async fn sweep(log: &mut Log, sweep: Sweep, ctx: &Context) -> Answer<Sweep> {
    if ctx.cancel::<Pay>("dust", "timeout").await? {
        ctx.send(fine("swept")).await?;
    }
    log.note(format!("floor {}", sweep.floor));
    Ok(())
}

async fn ordered(_: &mut Log, ordered: Ordered, ctx: &Context) -> Result<(), Failure> {
    let pay = Pay { account: ordered.account, trouble: Trouble::None };
    ctx.send_in(pay, Duration::from_secs(ordered.wait)).await?;
    if ctx.attempt() < ordered.until {
        return Err(Failure::retry("once more"));
    }
    Ok(())
}

pub(crate) fn teller(log: &Log) -> Actor<Log> {
    let log = log.clone();
    Actor::new("teller", async move || Ok(log.clone()))
        .answer(pay)
        .answer(sweep)
        .on(ordered)
        .retry(Retry::new(3).backoff(SHORT, SHORT))
}

pub(crate) fn bank(teller: Actor<Log>) -> Group {
    let account = Entity::new("account", Account::default)
        .decide(Account::deposit)
        .apply(Account::deposited);
    Group::new("bank").child(teller).child(account)
}

pub(crate) async fn start(way: &Way, name: &str, log: &Log) -> Result<Running, NodeError> {
    way.node(name).group(bank(teller(log))).start().await
}

pub(crate) fn payment(account: &str, trouble: Trouble) -> Pay {
    Pay { account: account.to_owned(), trouble }
}

pub(crate) fn fine(account: &str) -> Pay {
    payment(account, Trouble::None)
}

/// Returns all events of the bank's stream.
pub(crate) async fn events(way: &Way) -> Result<Vec<Stored>, BoxError> {
    let config = StreamConfig::events(&way.names(), "bank");
    let stream = way.bus.stream(&config).await?;
    Ok(stream.read(">", 1).await?.all().await?)
}

/// Opens a store once all that had it open is gone.
pub(crate) async fn reopened(folder: &Folder) -> Bus {
    let mut opened = None;
    until("free directory", async || {
        opened = Bus::embedded_at(folder.path()).ok();
        opened.is_some()
    })
    .await;
    opened.expect("it was opened")
}
