//! What the operator or a deadline says holds until the end, also in the last step,
//! and whatever the code awaits.

use crate::market::{
    Confirm, Confirmed, Freed, Outcome, Pay, Placed, Refuse, Repay, free, hold, orders, pay,
    placed, purse, repay, shelf,
};
use crate::support::way::until_within;
use callboard::{
    Abort, Actor, Answer, Bus, Client, Context, Failure, Group, Node, NodeError, Refusal, Replay,
    Running, Saga, Steps,
    bus::{Expect, Message, StreamConfig},
    message::{Headers, Key, codec, headers},
    saga::{SagaError, SagaOutcome, SagaState, Sagas},
};
use serde_json::json;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};
use tokio::sync::{Notify, Semaphore};

const SOON: Duration = Duration::from_secs(10);
const DAY: Duration = Duration::from_hours(24);

/// A purse that answers when it is let, and counts what it gave and took.
#[derive(Clone)]
struct Till {
    asked: Arc<Notify>,
    open: Arc<Semaphore>,
    paid: Arc<AtomicU32>,
    repaid: Arc<AtomicU32>,
}

impl Till {
    fn shut() -> Self {
        Self {
            asked: Arc::default(),
            open: Arc::new(Semaphore::new(0)),
            paid: Arc::default(),
            repaid: Arc::default(),
        }
    }

    fn group(&self) -> Group {
        let (till, other) = (self.clone(), self.clone());
        let pay = async move |(): &mut (), _: Pay, _: &Context| -> Answer<Pay> {
            till.asked.notify_one();
            till.open.acquire().await.map_err(Failure::retry)?.forget();
            till.paid.fetch_add(1, Ordering::SeqCst);
            Ok(7)
        };
        let repay = async move |(): &mut (), _: Repay, _: &Context| -> Answer<Repay> {
            other.repaid.fetch_add(1, Ordering::SeqCst);
            Ok(())
        };
        let purse = Actor::new("purse", async || Ok::<_, Failure>(()));
        let purse = purse.stop_within(Duration::from_millis(100));
        Group::new("purse").child(purse.answer(pay).answer(repay))
    }

    fn counts(&self) -> (u32, u32) {
        let count = |count: &AtomicU32| count.load(Ordering::SeqCst);
        (count(&self.paid), count(&self.repaid))
    }
}

async fn start<T: 'static>(
    saga: Saga<Placed, T>,
    bus: &Bus,
    purse: Group,
) -> Result<Running, NodeError> {
    Node::new("one", bus.clone())
        .drain_within(Duration::from_millis(100))
        .group(shelf())
        .group(purse)
        .group(orders(saga))
        .start()
        .await
}

async fn until_why(sagas: &Sagas, id: &str, why: &str) {
    until_within(SOON, why, async || {
        let found = match sagas.status(id).await {
            Ok(status) => status.why(),
            Err(error) => error.to_string(),
        };
        found.contains(why).then_some(()).ok_or(found)
    })
    .await;
}

/// Its only step is its last.
async fn takes_money(steps: &mut Steps, placed: Placed) -> Result<u64, Abort> {
    let Placed { order, amount } = placed;
    let back = repay(&order, amount);
    Ok(steps.call(pay(&order, amount)).undo(move |_| back).await?)
}

/// Writes the operator's word in a journal, and nothing wakes the saga.
async fn tell_quietly(client: &Client, saga: &str, id: &str, told: &str) -> Outcome {
    let names = client.namespace();
    let config = StreamConfig::sagas(names, saga);
    let stream = client.bus().stream(&config).await?;
    let page = codec::encode(&json!({"by": "operator", "moves": [{"told": told}]}))?;
    let mut own = Headers::new();
    own.insert(headers::MSG_ID, format!("{id} {told}"))?;
    let page = Message::new(names.saga(saga, &Key::new(id)?), page).headers(own);
    stream.append(page, Expect::Any).await?;
    Ok(())
}

#[tokio::test]
async fn what_is_called_off_during_its_last_step_is_undone() -> Outcome {
    for how in ["cancel", "compensate", "deadline", "quietly"] {
        let till = Till::shut();
        let saga = Saga::new("last", takes_money);
        let saga = match how {
            "deadline" => saga.deadline(Duration::from_millis(300)),
            _ => saga,
        };
        let node = start(saga, &Bus::embedded(), till.group()).await?;
        let client = node.client();
        let sagas = Sagas::open(&client, "last").await?;
        sagas.start("o-1", &placed("o-1")).await?;
        till.asked.notified().await;
        match how {
            "cancel" => sagas.cancel("o-1").await?,
            "compensate" => sagas.compensate("o-1").await?,
            "quietly" => tell_quietly(&client, "last", "o-1", "cancel").await?,
            _ => {
                until_within(SOON, "a deadline that has passed", async || {
                    match sagas.status("o-1").await {
                        Ok(status) if status.is_late => Ok(()),
                        status => Err(format!("{status:?}")),
                    }
                })
                .await;
            }
        }
        till.open.add_permits(1);
        let outcome = sagas.wait::<u64>("o-1", SOON).await?;
        assert!(
            matches!(outcome, SagaOutcome::Compensated(_)),
            "{how}: {outcome:?}"
        );
        assert_eq!(till.counts(), (1, 1), "{how}");
        node.stop().await?;
    }
    Ok(())
}

/// Its only step is its last, and there is no way back from it.
async fn takes_money_for_good(steps: &mut Steps, placed: Placed) -> Result<u64, Abort> {
    let Placed { order, amount } = placed;
    let back = repay(&order, amount);
    steps.pivot();
    Ok(steps.call(pay(&order, amount)).undo(move |_| back).await?)
}

#[tokio::test]
async fn past_its_pivot_the_last_step_completes_it_unless_it_is_to_be_undone_by_force() -> Outcome {
    for (told, is_undone) in [("cancel", false), ("compensate", true)] {
        let till = Till::shut();
        let saga = Saga::new("good", takes_money_for_good);
        let node = start(saga, &Bus::embedded(), till.group()).await?;
        let client = node.client();
        let sagas = Sagas::open(&client, "good").await?;
        sagas.start("o-1", &placed("o-1")).await?;
        till.asked.notified().await;
        tell_quietly(&client, "good", "o-1", told).await?;
        till.open.add_permits(1);
        let outcome = sagas.wait::<u64>("o-1", SOON).await?;
        let undone = matches!(outcome, SagaOutcome::Compensated(_));
        assert_eq!(undone, is_undone, "{told}: {outcome:?}");
        assert_eq!(till.counts(), (1, u32::from(is_undone)), "{told}");
        node.stop().await?;
    }
    Ok(())
}

/// Waits for a day with the goods in hand.
async fn dawdle(steps: &mut Steps, placed: Placed) -> Result<(), Abort> {
    let back = free(&placed.order);
    steps.call(hold(&placed.order)).undo(move |_| back).await?;
    steps.sleep(DAY).await;
    steps.call(Confirm { order: placed.order }).await?;
    Ok(())
}

#[tokio::test]
async fn what_was_told_to_turn_back_and_is_parked_turns_back_when_it_is_retried() -> Outcome {
    let speechless = Arc::new(AtomicBool::new(true));
    let first = Arc::clone(&speechless);
    let saga = Saga::new("dawdle", dawdle).on_abort(move |placed: Placed, abort: &Abort| {
        assert!(!first.swap(false, Ordering::SeqCst), "no words");
        Refuse { order: placed.order, reason: abort.to_string() }
    });
    let node = start(saga, &Bus::embedded(), purse()).await?;
    let sagas = Sagas::open(&node.client(), "dawdle").await?;
    sagas.start("o-1", &placed("o-1")).await?;
    until_why(&sagas, "o-1", "it waits for `sleep` until").await;
    sagas.cancel("o-1").await?;
    until_why(&sagas, "o-1", "no words").await;
    sagas.retry("o-1").await?;
    let outcome = sagas.wait::<()>("o-1", SOON).await?;
    let cancelled = Abort::new("it was cancelled by the operator");
    assert_eq!(outcome, SagaOutcome::Compensated(cancelled));
    Ok(node.stop().await?)
}

#[tokio::test]
async fn a_cancel_waits_for_code_that_awaits_something_of_its_own_on_its_way_again() -> Outcome {
    let (till, gate) = (Till::shut(), Arc::new(Semaphore::new(1)));
    let own = Arc::clone(&gate);
    let code = async move |steps: &mut Steps, placed: Placed| {
        let Placed { order, amount } = placed;
        let (freed, back) = (free(&order), repay(&order, amount));
        steps.call(hold(&order)).undo(move |_| freed).await?;
        // What is computed on another thread, say.
        own.acquire()
            .await
            .map_err(|error| Abort::new(error.to_string()))?
            .forget();
        steps.call(pay(&order, amount)).undo(move |_| back).await?;
        steps.call(Confirm { order }).await?;
        Ok::<_, Abort>(())
    };
    let saga = || Saga::new("thinker", code.clone()).takeover_after(Duration::from_secs(1));
    let bus = Bus::embedded();
    let one = start(saga(), &bus, till.group()).await?;
    let sagas = Sagas::open(&one.client(), "thinker").await?;
    sagas.start("o-1", &placed("o-1")).await?;
    till.asked.notified().await;
    sagas.cancel("o-1").await?;
    one.stop().await?;
    let two = start(saga(), &bus, till.group()).await?;
    let sagas = Sagas::open(&two.client(), "thinker").await?;
    // It is run again, and comes to what it awaits.
    let deadline = tokio::time::Instant::now() + Duration::from_secs(3);
    while tokio::time::Instant::now() < deadline {
        let state = sagas.status("o-1").await?.state;
        assert_eq!(state, SagaState::Running, "it is not parked");
        tokio::task::yield_now().await;
    }
    gate.add_permits(1);
    till.open.add_permits(2);
    let outcome = sagas.wait::<()>("o-1", SOON).await?;
    let cancelled = Abort::new("it was cancelled by the operator");
    assert_eq!(outcome, SagaOutcome::Compensated(cancelled));
    assert_eq!(till.counts().1, 1);
    Ok(two.stop().await?)
}

#[tokio::test]
async fn a_saga_does_not_leave_memory_while_a_branch_awaits_something_of_its_own() -> Outcome {
    let code = async |steps: &mut Steps, placed: Placed| {
        let steps = &*steps;
        let thinks = async {
            // What is computed on another thread, say.
            tokio::time::sleep(Duration::from_mins(5)).await;
            steps.call(Confirm { order: placed.order.clone() }).await
        };
        let (confirmed, ()) = steps.join(thinks, steps.sleep(DAY)).await;
        Ok::<_, Abort>(confirmed?)
    };
    let saga = Saga::new("thinker", code).on(|placed: Placed| placed);
    let heard = Replay::of(shelf())
        .with(orders(saga))
        .given(placed("o-1"))
        .after(Duration::from_hours(1))
        .settle()
        .await?;
    assert_eq!(heard.events::<Confirmed>().len(), 1);
    Ok(())
}

#[tokio::test]
async fn branches_are_not_missed_while_they_await_something_of_their_own() -> Outcome {
    let code = async |steps: &mut Steps, placed: Placed| {
        let steps = &*steps;
        let (one, other) = (format!("{}-a", placed.order), format!("{}-b", placed.order));
        let slow = async {
            tokio::time::sleep(Duration::from_mins(1)).await;
            steps.call(hold(&one)).await?;
            steps.sleep(DAY).await;
            Ok::<_, Abort>(())
        };
        let quick = async {
            steps.sleep(DAY).await;
            steps.call(Confirm { order: other.clone() }).await?;
            Ok::<_, Abort>(())
        };
        let (slow, quick) = steps.join(slow, quick).await;
        slow.and(quick)
    };
    let saga = Saga::new("thinker", code).on(|placed: Placed| placed);
    let heard = Replay::of(shelf())
        .with(orders(saga))
        .given(placed("o-1"))
        .after(DAY * 2)
        .settle()
        .await?;
    let events = (
        heard.events::<Confirmed>().len(),
        heard.events::<Freed>().len(),
    );
    assert_eq!(events, (1, 0));
    Ok(())
}

/// A bank that panics over one command, and gives money back.
fn broken_bank(repaid: &Arc<AtomicU32>) -> Group {
    let repaid = Arc::clone(repaid);
    let bank = Actor::new("purse", async || Ok::<_, Failure>(()))
        .answer(async |(): &mut (), _: Pay, _: &Context| -> Answer<Pay> {
            Err(Refusal::Failed(Failure::retry(
                "attempt to add with overflow",
            )))
        })
        .answer(
            async move |(): &mut (), _: Repay, _: &Context| -> Answer<Repay> {
                repaid.fetch_add(1, Ordering::SeqCst);
                Ok(())
            },
        );
    Group::new("purse").child(bank)
}

/// Takes goods for good, then money.
async fn lends(steps: &mut Steps, placed: Placed) -> Result<(), Abort> {
    let Placed { order, amount } = placed;
    let (freed, back) = (free(&order), repay(&order, amount));
    steps.call(hold(&order)).undo(move |_| freed).await?;
    steps.pivot();
    steps.call(pay(&order, amount)).undo(move |_| back).await?;
    Ok(())
}

#[tokio::test]
async fn a_saga_whose_step_has_a_bug_is_ended_by_the_operator() -> Outcome {
    let repaid = Arc::new(AtomicU32::new(0));
    let saga = Saga::new("lends", lends);
    let node = start(saga, &Bus::embedded(), broken_bank(&repaid)).await?;
    let sagas = Sagas::open(&node.client(), "lends").await?;
    sagas.start("o-1", &placed("o-1")).await?;
    until_why(&sagas, "o-1", "add with overflow").await;
    assert!(matches!(
        sagas.cancel("o-1").await,
        Err(SagaError::Pivoted { .. })
    ));
    sagas.compensate("o-1").await?;
    sagas
        .settle_not_done("o-1", "purse.pay", "the bank has no such payment")
        .await?;
    let outcome = sagas.wait::<()>("o-1", SOON).await?;
    let wanted = Abort::new("the operator wants it undone");
    assert_eq!(outcome, SagaOutcome::Compensated(wanted));
    assert_eq!(repaid.load(Ordering::SeqCst), 0, "it was not done");
    let steps = sagas.status("o-1").await?.steps;
    let states: Vec<_> = steps.iter().map(|step| step.state).collect();
    assert_eq!(states, ["undone", "failed"]);
    Ok(node.stop().await?)
}
