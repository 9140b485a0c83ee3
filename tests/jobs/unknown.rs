//! Jobs for a version that this node is not.

use crate::{
    bank::{Deposit, Trouble, bank, events, fine, payment, start, teller},
    support::{
        log::Log,
        way::{Verdict, Way, both_buses, until},
    },
};
use callboard::{
    Actor, Command, Context, Event, Failure, Group, NodeError, Rejection, Replay, Retry, Running,
    Subject, time::Clock,
};
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, time::Duration};

/// A command that nobody answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Dance {
    steps: u32,
}

#[derive(Debug, Serialize, Deserialize, thiserror::Error)]
#[error("no")]
struct No;

impl Rejection for No {}

impl Command for Dance {
    const SUBJECT: Subject = Subject::new("bank.dance");
    type Outcome = Result<(), No>;
}

/// A bank from before there were accounts.
async fn old(way: &Way, log: &Log) -> Result<Running, NodeError> {
    let group = Group::new("bank").child(teller(log));
    way.node("old").group(group).start().await
}

async fn know_each_other(nodes: [&Running; 2]) {
    until("nodes that know each other", async || {
        nodes
            .iter()
            .all(|node| node.client().roster().of("bank").len() == 2)
    })
    .await;
}

#[tokio::test]
async fn a_job_that_an_older_node_does_not_know_goes_to_a_newer_one() -> Verdict {
    both_buses(async |way| {
        let log = Log::default();
        let before = old(way, &log).await?;
        let client = way.client();
        client.send(fine("a")).await?;
        log.of(1).await;
        let deposit = |amount| Deposit { account: "a".to_owned(), amount };
        client.send(deposit(5)).await?;
        // Behind it in the line of its key.
        client.send(payment("a", Trouble::None)).await?;
        let after = way.node("new").group(bank(teller(&log))).start().await?;
        know_each_other([&before, &after]).await;
        until("the deposit", async || {
            events(way).await.is_ok_and(|all| all.len() == 1)
        })
        .await;
        assert_eq!(log.of(2).await, ["a 1", "a 1"]);
        client.send(deposit(7)).await?;
        until("the next deposit", async || {
            events(way).await.is_ok_and(|all| all.len() == 2)
        })
        .await;
        assert_eq!(way.dead_letters().await?.len(), 0);
        before.stop().await?;
        Ok(after.stop().await?)
    })
    .await
}

#[tokio::test]
async fn what_nobody_knows_waits_and_holds_up_nobody_else() -> Verdict {
    both_buses(async |way| {
        let log = Log::default();
        let node = start(way, "n", &log).await?;
        let client = way.client();
        for steps in 0..40 {
            client.send(Dance { steps }).await?;
        }
        let late = Clock::system().now() + Duration::from_secs(4);
        until("the time", async || Clock::system().now() > late).await;
        for number in 0..16 {
            client.send(fine(&format!("a{number}"))).await?;
        }
        log.of(16).await;
        assert_eq!(way.dead_letters().await?.len(), 0, "not within an hour");
        Ok(node.stop().await?)
    })
    .await
}

async fn beat(log: &mut Log, ctx: &Context) -> Result<(), Failure> {
    log.note(format!("beat {:?}", ctx.due()));
    Ok(())
}

#[tokio::test]
async fn an_older_node_does_not_end_what_a_newer_one_repeats() -> Verdict {
    both_buses(async |way| {
        let (log, other) = (Log::default(), Log::default());
        let group = |repeats: bool| {
            let log = log.clone();
            let drummer = Actor::new("drummer", async move || Ok(log.clone()));
            let second = Duration::from_secs(1);
            let drummer = if repeats {
                drummer.every_durably("beat", second, beat)
            } else {
                drummer.every_durably("rest", second, async |_: &mut Log, _: &Context| Ok(()))
            };
            let retry = Retry::new(2);
            Group::new("bank")
                .child(drummer.retry(retry))
                .child(teller(&other))
        };
        let before = way.node("old").group(group(false)).start().await?;
        let client = way.client();
        // It reads every partition before the other is there.
        for number in 0..40 {
            client.send(fine(&format!("a{number}"))).await?;
        }
        other.of(40).await;
        let after = way.node("new").group(group(true)).start().await?;
        know_each_other([&before, &after]).await;
        log.of(4).await;
        assert_eq!(way.dead_letters().await?.len(), 0);
        before.stop().await?;
        Ok(after.stop().await?)
    })
    .await
}

/// A command of a key that nobody answers any more.
#[derive(Debug, Serialize, Deserialize)]
struct Sing {
    account: String,
}

impl Command for Sing {
    const SUBJECT: Subject = Subject::new("bank.sing");
    type Outcome = Result<(), No>;

    fn key(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.account)
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Opened {
    account: String,
}

impl Event for Opened {
    const SUBJECT: Subject = Subject::new("bank.opened");

    fn key(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.account)
    }
}

#[tokio::test]
async fn many_jobs_that_nobody_knows_wait_for_one_hour_and_not_one_after_the_other() -> Verdict {
    let log = Log::default();
    let sender = Actor::new("sender", async || Ok::<_, Failure>(())).on(
        async |(): &mut (), opened: Opened, ctx: &Context| {
            for _ in 0..5 {
                let account = opened.account.clone();
                ctx.send(Sing { account }).await?;
            }
            // Behind them in the line of its key.
            ctx.send(fine(&opened.account)).await?;
            Ok(())
        },
    );
    let heard = Replay::of(bank(teller(&log)))
        .with(Group::new("senders").child(sender))
        .patience(Duration::from_mins(62))
        .given(Opened { account: "a".into() })
        .settle()
        .await?;
    assert_eq!(heard.dead_letters().len(), 5);
    assert_eq!(log.of(1).await, ["a 1"]);
    Ok(())
}
