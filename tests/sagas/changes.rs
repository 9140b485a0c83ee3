//! Code that changes under a live saga: it goes on, or says why it cannot.

use crate::market::{Cleared, Confirm, Outcome, Placed, hold, orders, pay, placed, purse, shelf};
use crate::waiting::so_many;
use callboard::{
    Abort, Actor, Answer, Bus, Command, Context, Failure, Group, Infallible, Node, NodeError,
    Running, Saga, Steps, Subject,
    node::StrandedSaga,
    saga::{SagaFilter, SagaOutcome, SagaState, Sagas},
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, time::Duration};

const SOON: Duration = Duration::from_secs(10);
const DAY: Duration = Duration::from_hours(24);

async fn node(bus: &Bus, saga: Saga<Placed, ()>) -> Result<Running, NodeError> {
    Node::new("one", bus.clone())
        .group(shelf())
        .group(purse())
        .group(orders(saga))
        .start()
        .await
}

async fn first(steps: &mut Steps, placed: Placed) -> Result<(), Abort> {
    steps.call(hold(&placed.order)).await?;
    steps.sleep(Duration::from_secs(3)).await;
    steps.call(Confirm { order: placed.order }).await?;
    Ok(())
}

/// Another step where the saga has not come to yet.
async fn longer(steps: &mut Steps, placed: Placed) -> Result<(), Abort> {
    steps.call(hold(&placed.order)).await?;
    steps.sleep(Duration::from_secs(3)).await;
    steps.call(pay(&placed.order, placed.amount)).await?;
    steps.call(Confirm { order: placed.order }).await?;
    Ok(())
}

/// A step that was taken has another name.
async fn renamed(steps: &mut Steps, placed: Placed) -> Result<(), Abort> {
    steps.call(hold(&placed.order)).named("goods").await?;
    steps.sleep(Duration::from_secs(3)).await;
    Ok(())
}

/// A step that was taken is gone.
async fn shorter(steps: &mut Steps, placed: Placed) -> Result<(), Abort> {
    steps.sleep(Duration::from_secs(3)).await;
    steps.call(Confirm { order: placed.order }).await?;
    Ok(())
}

/// Begins with one code and goes on with another.
async fn changed(next: Saga<Placed, ()>) -> Result<SagaOutcome<()>, Box<dyn std::error::Error>> {
    let bus = Bus::embedded();
    let one = node(&bus, Saga::new("change", first)).await?;
    let sagas = Sagas::open(&one.client(), "change").await?;
    sagas.start("o-1", &placed("o-1")).await?;
    let deadline = tokio::time::Instant::now() + SOON;
    while !matches!(sagas.status("o-1").await, Ok(status) if status.why().contains("until")) {
        assert!(tokio::time::Instant::now() < deadline);
        tokio::task::yield_now().await;
    }
    one.stop().await?;
    let two = node(&bus, next).await?;
    let outcome = sagas.wait("o-1", SOON).await?;
    two.stop().await?;
    Ok(outcome)
}

#[tokio::test]
async fn a_step_is_added_where_a_live_saga_has_not_come_to() -> Outcome {
    let outcome = changed(Saga::new("change", longer)).await?;
    assert_eq!(outcome, SagaOutcome::Completed(()));
    Ok(())
}

#[tokio::test]
async fn a_step_that_was_taken_and_is_gone_parks_the_saga() -> Outcome {
    for next in [Saga::new("change", renamed), Saga::new("change", shorter)] {
        let outcome = changed(next).await?;
        let SagaOutcome::Parked(reason) = outcome else {
            panic!("{outcome:?}");
        };
        assert!(
            reason.contains("does not come to `shelf.hold` any more"),
            "{reason}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_check_tells_before_which_sagas_could_not_go_on() -> Outcome {
    let bus = Bus::embedded();
    let one = node(&bus, Saga::new("change", first)).await?;
    let sagas = Sagas::open(&one.client(), "change").await?;
    for id in ["o-1", "o-2", "o-3"] {
        sagas.start(id, &placed(id)).await?;
        let deadline = tokio::time::Instant::now() + SOON;
        while !matches!(sagas.status(id).await, Ok(status) if status.why().contains("until")) {
            assert!(tokio::time::Instant::now() < deadline);
            tokio::task::yield_now().await;
        }
    }
    one.stop().await?;
    for (next, misfits) in [
        (Saga::new("change", first), 0),
        (Saga::new("change", longer), 0),
        (Saga::new("change", renamed), 3),
        (Saga::new("change", shorter), 3),
    ] {
        let found = check(&bus, next).await?;
        assert_eq!(found.len(), misfits, "{found:?}");
        let named = |saga: &StrandedSaga| saga.reason.contains("`shelf.hold`");
        assert!(found.iter().all(named), "{found:?}");
    }
    for id in ["o-1", "o-2", "o-3"] {
        assert_eq!(
            sagas.outcome::<()>(id).await?,
            SagaOutcome::Running,
            "nothing was done"
        );
    }
    Ok(())
}

/// The goods, a look for fraud, the price, and another look.
async fn old(steps: &mut Steps, placed: Placed) -> Result<(), Abort> {
    let Placed { order, amount } = placed;
    steps.call(hold(&order)).await?;
    steps.wait_for::<Cleared>(&order, DAY).named("look").await;
    steps.call(pay(&order, amount)).await?;
    let again = steps.wait_for::<Cleared>(&order, DAY);
    again.named("second-look").await;
    steps.call(Confirm { order }).await?;
    Ok(())
}

/// A fee is added, the price has another name, and the first look is left out
/// for those that are trusted; the second one is gone.
async fn new(steps: &mut Steps, placed: Placed) -> Result<(), Abort> {
    let Placed { order, amount } = placed;
    steps.call(hold(&order)).await?;
    if !order.contains("trusted") {
        steps.wait_for::<Cleared>(&order, DAY).named("look").await;
    }
    steps.call(pay(&order, amount)).named("price").await?;
    steps.call(pay(&order, 1)).named("fee").await?;
    steps.call(Confirm { order }).await?;
    Ok(())
}

fn thousand(
    code: impl AsyncFn(&mut Steps, Placed) -> Result<(), Abort> + Clone + Send + Sync + 'static,
) -> Saga<Placed, ()> {
    Saga::new("thousand", code).hears(|cleared: &Cleared| cleared.order.clone())
}

fn number(at: usize) -> String {
    match at % 4 {
        0 => format!("paid-{at}"),
        1 => format!("trusted-{at}"),
        _ => format!("plain-{at}"),
    }
}

/// Checks the new code against all that live; returns what would be parked, and why.
async fn predicted(
    bus: &Bus,
    ids: impl Iterator<Item = String>,
) -> Result<BTreeMap<String, String>, Box<dyn std::error::Error>> {
    let misfits = check(bus, thousand(new)).await?;
    let predicted: BTreeMap<_, _> = misfits
        .into_iter()
        .map(|misfit| (misfit.id, misfit.reason))
        .collect();
    for id in ids {
        let missing = match id.split('-').next() {
            // The second look is gone as well, but this is the first to be missed.
            Some("paid") => Some("`purse.pay`"),
            Some("trusted") => Some("`look`"),
            _ => None,
        };
        let reason = predicted.get(&id).map(String::as_str);
        assert_eq!(reason.is_some(), missing.is_some(), "{id}: {reason:?}");
        assert!(
            reason
                .unwrap_or_default()
                .contains(missing.unwrap_or_default()),
            "{id}: {reason:?}"
        );
    }
    Ok(predicted)
}

#[tokio::test]
async fn of_a_thousand_live_sagas_each_goes_on_or_is_parked_as_the_check_said() -> Outcome {
    const COUNT: usize = 1_000;
    let bus = Bus::embedded();
    let one = node(&bus, thousand(old)).await?;
    let sagas = Sagas::open(&one.client(), "thousand").await?;
    for id in (0..COUNT).map(number) {
        sagas.start(&id, &placed(&id)).await?;
    }
    so_many(&sagas, COUNT, |saga| saga.why().contains("(`look`)")).await;
    let ids = || (0..COUNT).map(number);
    for order in ids().filter(|order| order.contains("paid")) {
        one.client().publish(Cleared { order }).await?;
    }
    so_many(&sagas, COUNT / 4, |saga| {
        saga.why().contains("(`second-look`)")
    })
    .await;
    one.stop().await?;

    let predicted = predicted(&bus, ids()).await?;
    let two = node(&bus, thousand(new)).await?;
    for order in ids() {
        two.client().publish(Cleared { order }).await?;
    }
    so_many(&sagas, COUNT, |saga| {
        matches!(saga.state, SagaState::Completed | SagaState::Parked(_))
    })
    .await;
    for saga in sagas.list(&SagaFilter::all()).await?.sagas {
        match (&saga.state, predicted.get(&saga.id)) {
            (SagaState::Completed, None) => {}
            (SagaState::Parked(reason), Some(predicted)) => assert_eq!(reason, predicted),
            (state, predicted) => {
                panic!("{}: {state:?}, and the check said {predicted:?}", saga.id)
            }
        }
    }
    two.stop().await?;
    Ok(())
}

/// The price, and another look.
async fn plain(steps: &mut Steps, placed: Placed) -> Result<(), Abort> {
    let Placed { order, amount } = placed;
    steps.call(pay(&order, amount)).await?;
    steps.sleep(DAY).await;
    Ok(())
}

/// A fee is paid before the price.
async fn with_a_fee(steps: &mut Steps, placed: Placed) -> Result<(), Abort> {
    let Placed { order, amount } = placed;
    steps.call(pay(&order, 1)).await?;
    steps.call(pay(&order, amount)).await?;
    steps.sleep(DAY).await;
    Ok(())
}

/// What is waited for is of another key.
async fn for_another(steps: &mut Steps, placed: Placed) -> Result<(), Abort> {
    let key = format!("another {}", placed.order);
    let waiting = steps.wait_for::<Cleared>(key, DAY);
    waiting.await.map(drop).ok_or_else(|| Abort::new("nobody"))
}

#[tokio::test]
async fn a_step_that_comes_with_another_command_is_reported_before_and_parks_the_saga() -> Outcome {
    let bus = Bus::embedded();
    let one = node(&bus, Saga::new("price", plain)).await?;
    let sagas = Sagas::open(&one.client(), "price").await?;
    sagas.start("o-1", &placed("o-1")).await?;
    so_many(&sagas, 1, |saga| saga.why().contains("until")).await;
    one.stop().await?;
    let told = |reason: &str| {
        let both = ["`purse.pay`", "\"amount\": 7", "\"amount\": 1"];
        assert!(both.iter().all(|part| reason.contains(part)), "{reason}");
    };
    assert_eq!(check(&bus, Saga::new("price", plain)).await?.len(), 0);
    let found = check(&bus, Saga::new("price", with_a_fee)).await?;
    assert_eq!(found.len(), 1);
    told(&found[0].reason);
    let two = node(&bus, Saga::new("price", with_a_fee)).await?;
    sagas.cancel("o-1").await?;
    let outcome = sagas.wait::<()>("o-1", SOON).await?;
    assert!(
        matches!(outcome, SagaOutcome::Compensated(_)),
        "the way back needs no code"
    );
    two.stop().await?;

    let sagas = parked_by(with_a_fee).await?;
    told(&sagas);
    Ok(())
}

/// Looks through all its parcels, in an order that code may change.
#[derive(Debug, Serialize, Deserialize)]
struct Look {
    parcels: Vec<u8>,
}

impl Command for Look {
    const SUBJECT: Subject = Subject::new("looks.look");
    type Outcome = Result<(), Infallible>;
}

async fn looks(bus: &Bus, parcels: [u8; 3]) -> Result<Running, NodeError> {
    let looker = Actor::new("looker", async || Ok::<_, Failure>(()))
        .answer(async |(): &mut (), _: Look, _: &Context| -> Answer<Look> { Ok(()) });
    let code = async move |steps: &mut Steps, _: Placed| {
        steps.call(Look { parcels: parcels.to_vec() }).await?;
        steps.sleep(Duration::from_secs(3)).await;
        Ok::<_, Abort>(())
    };
    Node::new("one", bus.clone())
        .group(Group::new("looks").child(looker))
        .group(orders(Saga::new("look", code)))
        .start()
        .await
}

#[tokio::test]
async fn the_order_of_a_list_makes_no_other_step_and_what_is_in_it_does() -> Outcome {
    for (parcels, is_same) in [([3, 1, 2], true), ([1, 2, 2], false)] {
        let bus = Bus::embedded();
        let one = looks(&bus, [1, 2, 3]).await?;
        let sagas = Sagas::open(&one.client(), "look").await?;
        sagas.start("o-1", &placed("o-1")).await?;
        so_many(&sagas, 1, |saga| saga.why().contains("until")).await;
        one.stop().await?;
        let two = looks(&bus, parcels).await?;
        let outcome = sagas.wait::<()>("o-1", SOON).await?;
        assert_eq!(
            outcome == SagaOutcome::Completed(()),
            is_same,
            "{outcome:?}"
        );
        two.stop().await?;
    }
    Ok(())
}

/// Begins with one code, goes on with another, and returns why it is parked.
async fn parked_by(
    next: impl AsyncFn(&mut Steps, Placed) -> Result<(), Abort> + Clone + Send + Sync + 'static,
) -> Result<String, Box<dyn std::error::Error>> {
    let bus = Bus::embedded();
    let code = async |steps: &mut Steps, placed: Placed| {
        let Placed { order, amount } = placed;
        steps.call(pay(&order, amount)).await?;
        steps.sleep(Duration::from_secs(3)).await;
        Ok(())
    };
    let one = node(&bus, Saga::new("price", code)).await?;
    let sagas = Sagas::open(&one.client(), "price").await?;
    sagas.start("o-1", &placed("o-1")).await?;
    so_many(&sagas, 1, |saga| saga.why().contains("until")).await;
    one.stop().await?;
    let two = node(&bus, Saga::new("price", next)).await?;
    let outcome = sagas.wait::<()>("o-1", SOON).await?;
    two.stop().await?;
    match outcome {
        SagaOutcome::Parked(reason) => Ok(reason),
        other => Err(format!("{other:?}").into()),
    }
}

#[tokio::test]
async fn a_wait_for_another_key_parks_the_saga() -> Outcome {
    let bus = Bus::embedded();
    let waits = async |steps: &mut Steps, placed: Placed| {
        let waiting = steps.wait_for::<Cleared>(placed.order, DAY);
        waiting.await.map(drop).ok_or_else(|| Abort::new("nobody"))
    };
    let hearing = |saga: Saga<Placed, ()>| saga.hears(|cleared: &Cleared| cleared.order.clone());
    let one = node(&bus, hearing(Saga::new("look", waits))).await?;
    let sagas = Sagas::open(&one.client(), "look").await?;
    sagas.start("o-1", &placed("o-1")).await?;
    so_many(&sagas, 1, |saga| saga.why().contains("until")).await;
    one.stop().await?;
    let found = check(&bus, hearing(Saga::new("look", for_another))).await?;
    assert_eq!(found.len(), 1);
    let reason = &found[0].reason;
    assert!(
        reason.contains("`another o-1`") && reason.contains("`o-1`"),
        "{reason}"
    );
    Ok(())
}

/// Checks the code of a program that is about to be deployed.
async fn check(bus: &Bus, saga: Saga<Placed, ()>) -> Result<Vec<StrandedSaga>, NodeError> {
    let next = Node::new("next", bus.clone());
    next.group(orders(saga)).check().await
}
