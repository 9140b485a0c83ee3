//! A handler that has done nothing says so, and when to come again.

use crate::support::way::{Verdict, both_buses, every_way, until};
use callboard::{
    Actor, Answer, CallError, Command, Context, Event, Failure, Group, Infallible, Subject,
    policy::{Policies, Policy, Retry},
};
use serde::{Deserialize, Serialize};
use std::{
    borrow::Cow,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::SeqCst},
    },
    time::Duration,
};

const AFTER: Duration = Duration::from_millis(150);

#[derive(Debug, Serialize, Deserialize)]
struct Pay;

impl Command for Pay {
    const SUBJECT: Subject = Subject::new("bank.pay");
    type Outcome = Result<u32, Infallible>;
}

#[derive(Debug, Serialize, Deserialize)]
struct Billed;

impl Event for Billed {
    const SUBJECT: Subject = Subject::new("bank.billed");

    fn key(&self) -> Cow<'_, str> {
        "ada".into()
    }
}

fn away() -> Failure {
    Failure::unavailable(AFTER).because("the bank is away")
}

/// A bank that is away for so many messages, and counts them all.
fn bank(away_for: u32, count: &Arc<AtomicU32>) -> Group {
    let (own, heard) = (Arc::clone(count), Arc::clone(count));
    let pay = async move |(): &mut (), _: Pay, _: &Context| -> Answer<Pay> {
        match own.fetch_add(1, SeqCst) + 1 {
            number if number > away_for => Ok(number),
            _ => Err(away().into()),
        }
    };
    let billed =
        async move |(): &mut (), _: Billed, _: &Context| match heard.fetch_add(1, SeqCst) + 1 {
            number if number > away_for => Ok(()),
            _ => Err(away()),
        };
    let teller = Actor::new("teller", async || Ok::<_, Failure>(()));
    Group::new("bank").child(teller.answer(pay).on(billed))
}

#[tokio::test]
async fn its_caller_knows_that_the_command_was_not_run_and_when_to_come_again() -> Verdict {
    every_way(async |way| {
        let count = Arc::default();
        let node = way.node("one").group(bank(1, &count)).start().await?;
        let error = node.client().call(Pay).await.expect_err("the bank is away");
        let is_it = matches!(&error, CallError::Unavailable { retry_after: Some(AFTER), reason, .. }
            if reason.contains("the bank is away"));
        assert!(is_it && error.certainly_not_run(), "{error:?}");
        assert_eq!(node.client().call(Pay).await?, 2);
        Ok(node.stop().await?)
    })
    .await
}

#[tokio::test]
async fn a_policy_tries_it_again_though_the_command_is_not_idempotent() -> Verdict {
    every_way(async |way| {
        let count = Arc::default();
        let retry = Retry::new(3).backoff(Duration::ZERO, Duration::ZERO);
        let table = Policies::new().otherwise(Policy::new().retry(retry));
        let node = way.node("one").group(bank(2, &count)).policies(table);
        let node = node.start().await?;
        let asked = tokio::time::Instant::now();
        assert_eq!(node.client().call(Pay).await?, 3);
        assert!(asked.elapsed() >= 2 * AFTER, "it came when it was told to");
        Ok(node.stop().await?)
    })
    .await
}

#[tokio::test]
async fn an_event_and_a_job_come_again_and_use_up_no_attempt() -> Verdict {
    both_buses(async |way| {
        let count = Arc::<AtomicU32>::default();
        let node = way.node("one").group(bank(12, &count)).start().await?;
        node.client().publish(Billed).await?;
        until("the event to be handled", async || count.load(SeqCst) == 13).await;
        count.store(0, SeqCst);
        node.client().send(Pay).await?;
        until("the job to be done", async || count.load(SeqCst) == 13).await;
        node.stop().await?;
        assert_eq!(way.dead_letters().await?.len(), 0);
        Ok(())
    })
    .await
}
