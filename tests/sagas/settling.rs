//! What the operator says of a step whose outcome is not known, and what is undone
//! whatever its outcome is.

use crate::market::{
    Confirm, Declined, Outcome, Pay, Placed, Repay, free, hold, orders, pay, placed, purse, repay,
    shelf,
};
use crate::support::way::until_within;
use callboard::{
    Abort, Actor, Answer, Bus, Context, Failure, Group, Node, NodeError, Refusal, Replay, Running,
    Saga, Steps,
    saga::{SagaError, SagaOutcome, Sagas},
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

const SOON: Duration = Duration::from_secs(10);

/// A bank that never says what became of a payment, and gives money back.
#[derive(Clone, Default)]
struct Silent {
    asked: Arc<AtomicU32>,
    repaid: Arc<AtomicU32>,
    refuses: Arc<AtomicBool>,
    is_closed: Arc<AtomicBool>,
}

impl Silent {
    fn group(&self) -> Group {
        let (bank, other) = (self.clone(), self.clone());
        let pay = async move |(): &mut (), _: Pay, _: &Context| -> Answer<Pay> {
            bank.asked.fetch_add(1, Ordering::SeqCst);
            if bank.refuses.load(Ordering::SeqCst) {
                return Err(Refusal::Rejected(Declined));
            }
            Err(Refusal::Failed(Failure::retry("the bank says nothing")))
        };
        let repay = async move |(): &mut (), _: Repay, _: &Context| -> Answer<Repay> {
            if other.is_closed.load(Ordering::SeqCst) {
                return Err(Refusal::Failed(Failure::retry("the bank is closed")));
            }
            other.repaid.fetch_add(1, Ordering::SeqCst);
            Ok(())
        };
        let purse = Actor::new("purse", async || Ok::<_, Failure>(()));
        Group::new("purse").child(purse.answer(pay).answer(repay))
    }

    fn repaid(&self) -> u32 {
        self.repaid.load(Ordering::SeqCst)
    }
}

async fn start<T: 'static>(saga: Saga<Placed, T>, purse: Group) -> Result<Running, NodeError> {
    Node::new("one", Bus::embedded())
        .group(shelf())
        .group(purse)
        .group(orders(saga))
        .start()
        .await
}

/// Waits until a saga left memory for the next attempt.
async fn until_stuck(sagas: &Sagas, id: &str, trouble: &str) {
    until_within(SOON, "the trouble", async || {
        let status = sagas.status(id).await.map_err(|error| error.to_string())?;
        let why = status.why();
        why.contains(trouble).then_some(()).ok_or(why)
    })
    .await;
}

fn buying() -> Saga<Placed, u64> {
    let code = async |steps: &mut Steps, placed: Placed| {
        let Placed { order, amount } = placed;
        let (freed, back) = (free(&order), repay(&order, amount));
        steps.call(hold(&order)).undo(move |_| freed).await?;
        let left = steps.call(pay(&order, amount)).undo(move |_| back).await?;
        steps.call(Confirm { order }).await?;
        Ok::<_, Abort>(left)
    };
    Saga::new("buying", code).retry(slow())
}

/// So slow that a saga leaves memory after its first attempt.
fn slow() -> callboard::Retry {
    let hour = Duration::from_hours(1);
    callboard::Retry::new(2).backoff(hour, hour)
}

#[tokio::test]
async fn a_step_that_is_settled_as_done_goes_on_with_the_reply_and_can_be_undone() -> Outcome {
    for (order, is_undone) in [("good", false), ("late", true)] {
        let bank = Silent::default();
        let node = start(buying(), bank.group()).await?;
        let sagas = Sagas::open(&node.client(), "buying").await?;
        sagas.start(order, &placed(order)).await?;
        until_stuck(&sagas, order, "the bank says nothing").await;
        sagas
            .settle_done(order, "purse.pay", &35, "seen in the bank's books")
            .await?;
        let outcome = sagas.wait::<u64>(order, SOON).await?;
        if is_undone {
            let undone = matches!(outcome, SagaOutcome::Compensated(_));
            assert!(undone, "{outcome:?}");
        } else {
            assert_eq!(outcome, SagaOutcome::Completed(35));
        }
        assert_eq!(bank.repaid(), u32::from(is_undone));
        assert_eq!(
            bank.asked.load(Ordering::SeqCst),
            1,
            "it is not asked again"
        );
        node.stop().await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_step_that_is_settled_as_not_done_turns_the_saga_back() -> Outcome {
    let bank = Silent::default();
    let node = start(buying(), bank.group()).await?;
    let sagas = Sagas::open(&node.client(), "buying").await?;
    sagas.start("good", &placed("good")).await?;
    until_stuck(&sagas, "good", "the bank says nothing").await;
    sagas
        .settle_not_done("good", "purse.pay", "the bank never saw it")
        .await?;
    let outcome = sagas.wait::<u64>("good", SOON).await?;
    let SagaOutcome::Compensated(abort) = outcome else {
        panic!("{outcome:?}");
    };
    assert!(abort.reason().contains("the bank never saw it"), "{abort}");
    assert_eq!(bank.repaid(), 0);
    Ok(node.stop().await?)
}

#[tokio::test]
async fn a_reply_that_does_not_fit_parks_the_saga_until_it_is_settled_again() -> Outcome {
    let bank = Silent::default();
    let node = start(buying(), bank.group()).await?;
    let sagas = Sagas::open(&node.client(), "buying").await?;
    sagas.start("good", &placed("good")).await?;
    until_stuck(&sagas, "good", "the bank says nothing").await;
    sagas
        .settle_done("good", "purse.pay", "much", "seen")
        .await?;
    let outcome = sagas.wait::<u64>("good", SOON).await?;
    let SagaOutcome::Parked(reason) = outcome else {
        panic!("{outcome:?}");
    };
    assert!(reason.contains("settle it again"), "{reason}");
    sagas.settle_done("good", "purse.pay", &1, "seen").await?;
    let outcome = sagas.wait::<u64>("good", SOON).await?;
    assert_eq!(outcome, SagaOutcome::Completed(1));
    Ok(node.stop().await?)
}

#[tokio::test]
async fn only_a_step_whose_outcome_is_open_is_settled() -> Outcome {
    let bank = Silent::default();
    let node = start(buying(), bank.group()).await?;
    let sagas = Sagas::open(&node.client(), "buying").await?;
    sagas.start("good", &placed("good")).await?;
    until_stuck(&sagas, "good", "the bank says nothing").await;
    for step in ["shelf.hold", "nonsense"] {
        let refused = sagas.settle_not_done("good", step, "a slip").await;
        let error = refused.err().ok_or("its outcome is known")?;
        assert!(
            matches!(&error, SagaError::NotOpen { open, .. } if *open == ["purse.pay"]),
            "{error}"
        );
    }
    assert!(matches!(
        sagas.settle_not_done("none", "purse.pay", "a slip").await,
        Err(SagaError::NotFound { .. })
    ));
    sagas.settle_done("good", "purse.pay", &1, "seen").await?;
    sagas.wait::<u64>("good", SOON).await?;
    assert!(matches!(
        sagas.settle_not_done("good", "purse.pay", "too late").await,
        Err(SagaError::Over { .. })
    ));
    Ok(node.stop().await?)
}

#[tokio::test]
async fn what_was_undone_by_hand_is_settled_too() -> Outcome {
    let bank = Silent::default();
    bank.is_closed.store(true, Ordering::SeqCst);
    let node = start(buying().undo_retry(slow()), bank.group()).await?;
    let sagas = Sagas::open(&node.client(), "buying").await?;
    sagas.start("late", &placed("late")).await?;
    until_stuck(&sagas, "late", "the bank says nothing").await;
    sagas.settle_done("late", "purse.pay", &1, "seen").await?;
    until_stuck(&sagas, "late", "the bank is closed").await;
    sagas
        .settle_not_done("late", "purse.pay", "paid back in cash")
        .await?;
    let outcome = sagas.wait::<u64>("late", SOON).await?;
    assert!(
        matches!(outcome, SagaOutcome::Compensated(_)),
        "{outcome:?}"
    );
    assert_eq!(bank.repaid(), 0);
    Ok(node.stop().await?)
}

/// Pays, and takes the money back whatever became of it.
fn anyway() -> Saga<Placed, u64> {
    let code = async |steps: &mut Steps, placed: Placed| {
        let Placed { order, amount } = placed;
        let freed = free(&order);
        steps.call(hold(&order)).undo_anyway(freed).await?;
        let paid = steps.call(pay(&order, amount));
        let left = paid.undo_anyway(repay(&order, amount)).await?;
        steps.call(Confirm { order }).await?;
        Ok::<_, Abort>(left)
    };
    Saga::new("anyway", code).retry(slow())
}

#[tokio::test]
async fn what_is_undone_anyway_does_not_wait_for_its_outcome() -> Outcome {
    for passes in [false, true] {
        let bank = Silent::default();
        let saga = anyway();
        let saga = if passes {
            saga.deadline(Duration::from_secs(1))
        } else {
            saga
        };
        let node = start(saga, bank.group()).await?;
        let sagas = Sagas::open(&node.client(), "anyway").await?;
        sagas.start("good", &placed("good")).await?;
        if !passes {
            until_stuck(&sagas, "good", "the bank says nothing").await;
            sagas.cancel("good").await?;
        }
        let outcome = sagas.wait::<u64>("good", SOON).await?;
        assert!(
            matches!(outcome, SagaOutcome::Compensated(_)),
            "{outcome:?}"
        );
        assert_eq!(bank.repaid(), 1);
        let steps = sagas.status("good").await?.steps;
        let undone: Vec<_> = steps
            .iter()
            .map(|step| (step.state, step.undo.as_deref()))
            .collect();
        assert_eq!(
            undone,
            [
                ("undone", Some("shelf.free")),
                ("undone", Some("purse.repay"))
            ]
        );
        node.stop().await?;
    }
    Ok(())
}

#[tokio::test]
async fn what_is_undone_anyway_is_undone_after_a_no_that_follows_an_unknown_outcome() -> Outcome {
    let bank = Silent::default();
    let soon = Duration::from_millis(10);
    let saga = anyway().retry(callboard::Retry::new(100).backoff(soon, soon));
    let node = start(saga, bank.group()).await?;
    let sagas = Sagas::open(&node.client(), "anyway").await?;
    sagas.start("good", &placed("good")).await?;
    until_within(SOON, "two attempts", async || {
        let asked = bank.asked.load(Ordering::SeqCst);
        (asked > 1).then_some(()).ok_or_else(|| asked.to_string())
    })
    .await;
    bank.refuses.store(true, Ordering::SeqCst);
    let outcome = sagas.wait::<u64>("good", SOON).await?;
    assert!(
        matches!(outcome, SagaOutcome::Compensated(_)),
        "{outcome:?}"
    );
    assert_eq!(bank.repaid(), 1);
    Ok(node.stop().await?)
}

#[tokio::test]
async fn wherever_the_runner_dies_what_is_undone_anyway_is_undone_once() -> Outcome {
    let play = async |order: &str, place| {
        Replay::of(shelf())
            .with(purse())
            .with(orders(
                anyway()
                    .takeover_after(Duration::from_secs(2))
                    .on(|placed: Placed| placed),
            ))
            .crash_at(place)
            .given(placed(order))
            .settle()
            .await
    };
    let places = play("late", 0).await?.places();
    for place in 0..=places {
        let heard = play("late", place).await?;
        let counts = [
            heard.events::<crate::market::Freed>().len(),
            heard.events::<crate::market::Repaid>().len(),
        ];
        assert_eq!(counts, [1, 1], "dead at {place} of {places}");
    }
    let places = play("good", 0).await?.places();
    for place in 0..=places {
        let heard = play("good", place).await?;
        assert_eq!(heard.events::<crate::market::Confirmed>().len(), 1);
        assert!(heard.events::<crate::market::Repaid>().is_empty());
    }
    Ok(())
}
