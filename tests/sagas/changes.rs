//! Code that changes under a live saga: it goes on, or says why it cannot.

use crate::market::{Confirm, Outcome, Placed, hold, orders, pay, placed, purse, shelf};
use callboard::{
    Abort, Bus, Group, Node, NodeError, Running, Saga, Steps,
    saga::{SagaOutcome, Sagas},
};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(10);

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
    let client = one_client(&bus);
    for (next, misfits) in [
        (Saga::new("change", first), 0),
        (Saga::new("change", longer), 0),
        (Saga::new("change", renamed), 3),
        (Saga::new("change", shorter), 3),
    ] {
        let found = next.check(&client).await?;
        let node = Node::new("next", bus.clone()).group(Group::new("orders").child(next));
        let stranded = node.check().await?;
        let of_the_node = stranded.iter().map(|saga| (&saga.id, &saga.reason));
        assert!(of_the_node.eq(found.iter().map(|saga| (&saga.id, &saga.reason))));
        assert_eq!(found.len(), misfits, "{found:?}");
        let named = |misfit: &callboard::saga::Misfit| misfit.reason.contains("`shelf.hold`");
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

fn one_client(bus: &Bus) -> callboard::Client {
    callboard::Client::new(bus.clone(), callboard::message::Namespace::default())
}
