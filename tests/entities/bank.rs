//! The bank that these tests bring their money to.

use callboard::{
    Bus, Client, Command, Decision, Entity, Event, Group, Node, Rejection, Running, Subject,
    bus::StreamConfig, message::batch,
};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

pub(crate) type Outcome = Result<(), Box<dyn std::error::Error>>;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Deposit {
    pub(crate) account: String,
    pub(crate) amount: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Withdraw {
    pub(crate) account: String,
    pub(crate) amount: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[error("only {balance} is there")]
pub(crate) struct Short {
    pub(crate) balance: u64,
}

impl Rejection for Short {}

impl Command for Deposit {
    const SUBJECT: Subject = Subject::new("bank.deposit");
    type Outcome = Result<u64, Short>;

    fn key(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.account)
    }
}

impl Command for Withdraw {
    const SUBJECT: Subject = Subject::new("bank.withdraw");
    type Outcome = Result<u64, Short>;

    fn key(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.account)
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Deposited {
    pub(crate) account: String,
    pub(crate) amount: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Withdrawn {
    pub(crate) account: String,
    pub(crate) amount: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Emptied {
    pub(crate) account: String,
}

macro_rules! about_an_account {
    ($event:ty, $subject:literal) => {
        impl Event for $event {
            const SUBJECT: Subject = Subject::new($subject);

            fn key(&self) -> Cow<'_, str> {
                Cow::Borrowed(&self.account)
            }
        }
    };
}

about_an_account!(Deposited, "bank.deposited");
about_an_account!(Withdrawn, "bank.withdrawn");
about_an_account!(Emptied, "bank.emptied");

#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Account {
    pub(crate) balance: u64,
}

impl Account {
    pub(crate) fn deposit(&self, deposit: Deposit) -> Result<(Deposited, u64), Short> {
        let Deposit { account, amount } = deposit;
        assert!(amount != 13, "unlucky");
        Ok((Deposited { account, amount }, self.balance + amount))
    }

    pub(crate) fn withdraw(&self, withdraw: Withdraw) -> Result<Decision<u64>, Short> {
        let Withdraw { account, amount } = withdraw;
        let Some(left) = self.balance.checked_sub(amount) else {
            return Err(Short { balance: self.balance });
        };
        let withdrawn = Decision::of(Withdrawn { account: account.clone(), amount });
        if left > 0 {
            return Ok(withdrawn.reply(left));
        }
        Ok(withdrawn.and(Emptied { account }).reply(left))
    }
}

pub(crate) fn bank() -> Group {
    let account = Entity::new("account", Account::default)
        .decide(Account::deposit)
        .decide(Account::withdraw)
        .apply(|account: &mut Account, deposited: &Deposited| account.balance += deposited.amount)
        .apply(|account: &mut Account, withdrawn: &Withdrawn| account.balance -= withdrawn.amount)
        .apply(|account: &mut Account, _: &Emptied| assert_eq!(account.balance, 0));
    Group::new("bank").child(account)
}

pub(crate) async fn node(name: &str, bus: &Bus) -> Result<Running, callboard::NodeError> {
    Node::new(name, bus.clone()).group(bank()).start().await
}

pub(crate) fn deposit(account: &str, amount: u64) -> Deposit {
    Deposit { account: account.into(), amount }
}

pub(crate) fn withdraw(account: &str, amount: u64) -> Withdraw {
    Withdraw { account: account.into(), amount }
}

/// Returns the types of all events in the bank's stream, message by message.
pub(crate) async fn stored(
    client: &Client,
) -> Result<Vec<Vec<String>>, Box<dyn std::error::Error>> {
    let config = StreamConfig::events(client.namespace(), "bank");
    let stream = client.bus().stream(&config).await?;
    let all = stream.read(">", 1).await?.all().await?;
    Ok(all
        .iter()
        .map(|stored| batch::types(&stored.headers).map(str::to_owned).collect())
        .collect())
}
