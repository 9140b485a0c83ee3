//! What is not known is not given up: attempts go on, and what two runners or two
//! attempts did is undone.

use crate::market::{
    Cleared, Confirm, Confirmed, Declined, Freed, Held, Outcome, Paid, Pay, Placed, Repaid, Repay,
    checkouts, free, hold, orders, pay, placed, purse, repay, shelf,
};
use crate::support::way::until_within;
use callboard::{
    Abort, Actor, Answer, Bus, Command, Context, Failure, Group, Infallible, Node, Refusal, Replay,
    Retry, Saga, Steps, Subject,
    bus::Message,
    message::{Status, codec},
    saga::{SagaOutcome, SagaState, Sagas},
};
use serde::{Deserialize, Serialize};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};
use tokio::time::timeout;

const SOON: Duration = Duration::from_secs(20);
const LONG: Duration = Duration::from_hours(48);

/// A purse that fails so often, to pay and to repay, before it does.
fn failing_purse(pays: u32, repays: u32) -> (Group, Arc<AtomicU32>) {
    let (calls, undos) = (Arc::new(AtomicU32::new(0)), AtomicU32::new(0));
    let counted = Arc::clone(&calls);
    let purse = Actor::new("purse", async || Ok::<_, Failure>(()))
        .answer(
            async move |(): &mut (), _: Pay, _: &Context| -> Answer<Pay> {
                if counted.fetch_add(1, Ordering::SeqCst) < pays {
                    return Err(Refusal::Failed(Failure::retry("the bank says nothing")));
                }
                Ok(7)
            },
        )
        .answer({
            let undos = Arc::new(undos);
            async move |(): &mut (), _: Repay, _: &Context| -> Answer<Repay> {
                if undos.fetch_add(1, Ordering::SeqCst) < repays {
                    return Err(Refusal::Failed(Failure::retry("the bank is closed")));
                }
                Ok(())
            }
        });
    (Group::new("purse").child(purse), calls)
}

#[tokio::test]
async fn an_unknown_outcome_is_asked_for_beyond_all_attempts() -> Outcome {
    for place in [0, 3, 4, 5, 6] {
        let (purse, calls) = failing_purse(90, 0);
        let heard = Replay::of(shelf())
            .with(purse)
            .with(orders(checkouts()))
            .patience(LONG)
            .crash_at(place)
            .given(placed("good"))
            .settle()
            .await?;
        assert_eq!(calls.load(Ordering::SeqCst), 91, "dead at {place}");
        assert_eq!(heard.events::<Confirmed>().len(), 1);
        assert_eq!(heard.events::<Freed>().len(), 0);
    }
    Ok(())
}

#[tokio::test]
async fn past_its_pivot_a_step_is_tried_until_it_succeeds() -> Outcome {
    // Nobody is there to be asked at all: it certainly was never run.
    let code = async |steps: &mut Steps, placed: Placed| {
        let Placed { order, amount } = placed;
        steps.call(hold(&order)).await?;
        steps.pivot();
        steps.call(pay(&order, amount)).await?;
        Ok::<_, Abort>(())
    };
    let retry = Retry::new(2).backoff(Duration::from_millis(10), Duration::from_millis(10));
    let saga = || Saga::new("firm", code).retry(retry);
    let bus = Bus::embedded();
    let one = Node::new("one", bus.clone())
        .group(shelf())
        .group(orders(saga()))
        .start()
        .await?;
    let sagas = Sagas::open(&one.client(), "firm").await?;
    sagas.start("o-1", &placed("o-1")).await?;
    until_within(SOON, "more than two attempts", async || {
        let status = sagas
            .status("o-1")
            .await
            .map_err(|error| error.to_string())?;
        assert_eq!(status.state, SagaState::Running);
        let why = status.why();
        why.contains("nobody answers purse.pay")
            .then_some(())
            .ok_or(why)
    })
    .await;
    let two = Node::new("two", bus).group(purse()).start().await?;
    let outcome = sagas.wait::<()>("o-1", SOON).await?;
    assert_eq!(outcome, SagaOutcome::Completed(()));
    one.stop().await?;
    Ok(two.stop().await?)
}

#[tokio::test]
async fn undoing_is_tried_until_it_succeeds() -> Outcome {
    let (purse, _) = failing_purse(0, 90);
    let heard = Replay::of(shelf())
        .with(purse)
        .with(orders(checkouts()))
        .patience(LONG)
        .given(placed("late"))
        .settle()
        .await?;
    assert_eq!(heard.events::<Held>().len(), 1);
    assert_eq!(heard.events::<Freed>().len(), 1, "after the money is back");
    Ok(())
}

#[tokio::test]
async fn a_saga_that_tries_again_leaves_its_place_to_others_and_counts_all_attempts() -> Outcome {
    let (purse, calls) = failing_purse(1, 0);
    let seconds = Duration::from_secs(6);
    let retry = Retry::new(3).backoff(seconds, seconds);
    let code = async |steps: &mut Steps, placed: Placed| {
        let Placed { order, amount } = placed;
        if order == "stuck" {
            steps.call(pay(&order, amount)).await?;
        }
        steps.call(Confirm { order }).await?;
        Ok::<_, Abort>(())
    };
    let saga = Saga::new("one-by-one", code).in_flight(1).retry(retry);
    let node = Node::new("one", Bus::embedded())
        .group(purse)
        .group(orders(saga))
        .start()
        .await?;
    let sagas = Sagas::open(&node.client(), "one-by-one").await?;
    sagas.start("stuck", &placed("stuck")).await?;
    sagas.start("other", &placed("other")).await?;
    let outcome = sagas.wait::<()>("other", SOON).await?;
    assert_eq!(outcome, SagaOutcome::Completed(()));
    assert_eq!(calls.load(Ordering::SeqCst), 1, "the first one still waits");
    let why = sagas.status("stuck").await?.why();
    assert!(why.contains("the bank says nothing"), "{why}");
    let outcome = sagas.wait::<()>("stuck", SOON).await?;
    assert_eq!(outcome, SagaOutcome::Completed(()));
    let steps = sagas.status("stuck").await?.steps;
    assert_eq!(steps[0].attempts, 2, "of both runs");
    Ok(node.stop().await?)
}

/// Takes goods that somebody counts.
#[derive(Debug, Serialize, Deserialize)]
struct Take {
    order: String,
}

impl Command for Take {
    const SUBJECT: Subject = Subject::new("till.take");
    type Outcome = Result<(), Declined>;
}

/// Puts them back.
#[derive(Debug, Serialize, Deserialize)]
struct Untake {
    order: String,
}

impl Command for Untake {
    const SUBJECT: Subject = Subject::new("till.untake");
    type Outcome = Result<(), Infallible>;
}

/// A till that takes and fails over it, says no then, and counts what it holds.
fn forgetful_till() -> (Group, Arc<AtomicU32>, Arc<AtomicU32>) {
    let (taken, untaken) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let (took, put) = (Arc::clone(&taken), Arc::clone(&untaken));
    let till = Actor::new("till", async || Ok::<_, Failure>(()))
        .answer(
            async move |(): &mut (), _: Take, _: &Context| -> Answer<Take> {
                if took.fetch_add(1, Ordering::SeqCst) == 0 {
                    return Err(Refusal::Failed(Failure::retry("the answer is lost")));
                }
                took.fetch_sub(1, Ordering::SeqCst);
                Err(Refusal::Rejected(Declined))
            },
        )
        .answer(
            async move |(): &mut (), _: Untake, _: &Context| -> Answer<Untake> {
                put.fetch_add(1, Ordering::SeqCst);
                Ok(())
            },
        );
    (Group::new("till").child(till), taken, untaken)
}

#[tokio::test]
async fn a_no_after_an_attempt_of_unknown_outcome_is_undone_as_a_yes() -> Outcome {
    for goes_on in [false, true] {
        let code = async move |steps: &mut Steps, placed: Placed| {
            let order = placed.order;
            let back = Untake { order: order.clone() };
            let took = steps.call(Take { order: order.clone() });
            match took.undo(move |()| back).await {
                // It may go another way: what was taken is put back all the same.
                Err(Declined) if goes_on => {
                    steps.call(Confirm { order }).await?;
                }
                outcome => outcome?,
            }
            Ok::<_, Abort>(())
        };
        let (till, taken, untaken) = forgetful_till();
        let heard = Replay::of(till)
            .with(orders(
                Saga::new("taking", code).on(|placed: Placed| placed),
            ))
            .given(placed("o-1"))
            .settle()
            .await?;
        let counts = [taken, untaken].map(|count| count.load(Ordering::SeqCst));
        assert_eq!(counts, [1, 1], "once done and once undone");
        assert_eq!(heard.events::<Confirmed>().len(), usize::from(goes_on));
    }
    Ok(())
}

/// Answers a command that was caught on the bus.
async fn answer(bus: &Bus, command: &Message, no: Option<Declined>) -> Outcome {
    let to = command.reply.clone().ok_or("somebody who waits")?;
    let answer = match no {
        None => Message::new(to, codec::encode(&())?),
        Some(no) => {
            let payload = codec::encode(&no)?;
            Message::new(to, payload).headers(Status::Rejected.headers("no"))
        }
    };
    Ok(bus.send(answer).await?)
}

#[tokio::test]
async fn what_one_of_two_runners_did_and_the_other_was_refused_is_undone() -> Outcome {
    let bus = Bus::embedded();
    let mut takes = bus
        .subscribe("callboard.cmd.till.take", Some("till"))
        .await?;
    let mut undos = bus
        .subscribe("callboard.cmd.till.untake", Some("till"))
        .await?;
    let code = async |steps: &mut Steps, placed: Placed| {
        let order = placed.order;
        let back = Untake { order: order.clone() };
        steps.call(Take { order }).undo(move |()| back).await?;
        Ok::<_, Abort>(())
    };
    let saga = || {
        Saga::new("taking", code)
            .timeout(SOON)
            .hears(|cleared: &Cleared| cleared.order.clone())
    };
    let mut nodes = Vec::new();
    for name in ["one", "two"] {
        let node = Node::new(name, bus.clone()).group(orders(saga()));
        nodes.push(node.start().await?);
    }
    let client = nodes[0].client();
    let sagas = Sagas::open(&client, "taking").await?;
    sagas.start("o-1", &placed("o-1")).await?;
    let first = timeout(SOON, takes.next()).await?.ok_or("a command")?;
    // It is woken until the other one comes to it.
    let second = loop {
        let order = "o-1".to_owned();
        client.publish(Cleared { order }).await?;
        let second = timeout(Duration::from_millis(200), takes.next()).await;
        if let Ok(second) = second {
            break second.ok_or("a command")?;
        }
    };
    answer(&bus, &first, Some(Declined)).await?;
    let outcome = sagas.wait::<()>("o-1", SOON).await?;
    assert!(
        matches!(outcome, SagaOutcome::Compensated(_)),
        "{outcome:?}"
    );
    answer(&bus, &second, None).await?;
    let undo = timeout(SOON, undos.next()).await?.ok_or("what undoes it")?;
    answer(&bus, &undo, None).await?;
    for node in nodes {
        node.stop().await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_deadline_waits_for_an_outcome_that_is_not_known_and_then_all_is_undone() -> Outcome {
    let (purse, calls) = failing_purse(90, 0);
    let saga = Saga::new("hasty", async |steps: &mut Steps, placed: Placed| {
        let Placed { order, amount } = placed;
        let (freed, back) = (free(&order), repay(&order, amount));
        steps.call(hold(&order)).undo(move |_| freed).await?;
        steps.call(pay(&order, amount)).undo(move |_| back).await?;
        Ok::<_, Abort>(())
    });
    let saga = saga.deadline(Duration::from_secs(3));
    let heard = Replay::of(shelf())
        .with(purse)
        .with(orders(saga.on(|placed: Placed| placed)))
        .patience(LONG)
        .given(placed("o-1"))
        .settle()
        .await?;
    assert_eq!(calls.load(Ordering::SeqCst), 91);
    assert_eq!(heard.events::<Freed>().len(), 1);
    assert_eq!(heard.commands::<Repay>().len(), 1);
    let events = (heard.events::<Paid>().len(), heard.events::<Repaid>().len());
    assert_eq!(events, (0, 0), "the bank tells nobody");
    Ok(())
}
