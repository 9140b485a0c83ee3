//! What an entity promises: its events are the truth, and they are decided once.

use callboard::{
    Bus, CallError, Client, Command, Decision, Entity, Event, Group, Node, Rejection, Running,
    Subject,
    bus::StreamConfig,
    message::{Id, batch},
};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

type Outcome = Result<(), Box<dyn std::error::Error>>;

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Deposit {
    account: String,
    amount: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Withdraw {
    account: String,
    amount: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[error("only {balance} is there")]
struct Short {
    balance: u64,
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
struct Deposited {
    account: String,
    amount: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Withdrawn {
    account: String,
    amount: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Emptied {
    account: String,
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

#[derive(Default)]
struct Account {
    balance: u64,
}

impl Account {
    fn deposit(&self, deposit: Deposit) -> Result<(Deposited, u64), Short> {
        let Deposit { account, amount } = deposit;
        assert!(amount != 13, "unlucky");
        Ok((Deposited { account, amount }, self.balance + amount))
    }

    fn withdraw(&self, withdraw: Withdraw) -> Result<Decision<u64>, Short> {
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

fn bank() -> Group {
    let account = Entity::new("account", Account::default)
        .decide(Account::deposit)
        .decide(Account::withdraw)
        .apply(|account: &mut Account, deposited: &Deposited| account.balance += deposited.amount)
        .apply(|account: &mut Account, withdrawn: &Withdrawn| account.balance -= withdrawn.amount)
        .apply(|account: &mut Account, _: &Emptied| assert_eq!(account.balance, 0));
    Group::new("bank").child(account)
}

async fn node(name: &str, bus: &Bus) -> Result<Running, callboard::NodeError> {
    Node::new(name, bus.clone()).group(bank()).start().await
}

fn deposit(account: &str, amount: u64) -> Deposit {
    Deposit { account: account.into(), amount }
}

fn withdraw(account: &str, amount: u64) -> Withdraw {
    Withdraw { account: account.into(), amount }
}

/// Returns the types of all events in the bank's stream, message by message.
async fn stored(client: &Client) -> Result<Vec<Vec<String>>, Box<dyn std::error::Error>> {
    let config = StreamConfig::events(client.namespace(), "bank");
    let stream = client.bus().stream(&config).await?;
    let all = stream.read(">", 1).await?.all().await?;
    Ok(all
        .iter()
        .map(|stored| batch::types(&stored.headers).map(str::to_owned).collect())
        .collect())
}

#[tokio::test]
async fn a_decision_is_stored_and_the_next_one_knows_it() -> Outcome {
    let bus = Bus::embedded();
    let node = node("one", &bus).await?;
    let client = node.client();
    assert_eq!(client.call(deposit("a", 10)).await?, 10);
    assert_eq!(client.call(deposit("a", 5)).await?, 15);
    assert_eq!(
        client.call(deposit("b", 1)).await?,
        1,
        "each key has its own state"
    );
    let short = client.call(withdraw("a", 16)).outcome().await?;
    assert_eq!(short, Err(Short { balance: 15 }));
    assert_eq!(client.call(withdraw("a", 15)).await?, 0);
    let events = stored(&client).await?;
    assert_eq!(
        events.last(),
        Some(&vec![
            "bank.withdrawn".to_owned(),
            "bank.emptied".to_owned()
        ])
    );
    assert_eq!(
        events.len(),
        4,
        "the events of one decision are one message"
    );
    node.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_new_node_finds_what_the_old_one_decided() -> Outcome {
    let bus = Bus::embedded();
    let first = node("one", &bus).await?;
    first.client().call(deposit("a", 10)).await?;
    first.client().call(withdraw("a", 10)).await?;
    first.stop().await?;
    let second = node("two", &bus).await?;
    assert_eq!(second.client().call(deposit("a", 2)).await?, 2);
    second.stop().await?;
    Ok(())
}

#[tokio::test]
async fn the_same_command_again_changes_nothing_and_gets_the_first_reply() -> Outcome {
    let bus = Bus::embedded();
    let id = Id::new();
    let first = node("one", &bus).await?;
    assert_eq!(
        first.client().call(deposit("a", 10)).id(id.clone()).await?,
        10
    );
    assert_eq!(first.client().call(deposit("a", 7)).await?, 17);
    assert_eq!(
        first.client().call(deposit("a", 10)).id(id.clone()).await?,
        10
    );
    let second = node("two", &bus).await?;
    assert_eq!(
        second.client().call(deposit("a", 10)).id(id).await?,
        10,
        "also on another node"
    );
    assert_eq!(stored(&first.client()).await?.len(), 2);
    first.stop().await?;
    second.stop().await?;
    Ok(())
}

#[tokio::test]
async fn two_nodes_that_decide_one_key_at_once_lose_nothing() -> Outcome {
    let bus = Bus::embedded();
    let (one, two) = (node("one", &bus).await?, node("two", &bus).await?);
    let mut calls = tokio::task::JoinSet::new();
    for n in 0..200 {
        let client = if n % 2 == 0 {
            one.client()
        } else {
            two.client()
        };
        calls.spawn(async move { client.call(deposit("hot", 1)).await });
    }
    while let Some(call) = calls.join_next().await {
        call??;
    }
    assert_eq!(one.client().call(withdraw("hot", 200)).await?, 0);
    one.stop().await?;
    two.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_panicking_decision_is_its_callers_500_only() -> Outcome {
    let bus = Bus::embedded();
    let node = node("one", &bus).await?;
    let client = node.client();
    client.call(deposit("a", 1)).await?;
    let crashed = client.call(deposit("a", 13)).await;
    assert!(
        matches!(crashed, Err(CallError::Failed { ref reason, .. }) if reason.contains("unlucky"))
    );
    assert_eq!(client.call(deposit("a", 1)).await?, 2);
    assert_eq!(node.tree().groups[0].children[0].restarts, 0);
    node.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_command_without_a_key_is_refused_and_says_so() -> Outcome {
    let bus = Bus::embedded();
    let node = node("one", &bus).await?;
    let refused = node.client().call(deposit("", 1)).await;
    assert!(
        matches!(refused, Err(CallError::Failed { ref reason, .. }) if reason.contains("key is empty")),
        "{refused:?}"
    );
    node.stop().await?;
    Ok(())
}
