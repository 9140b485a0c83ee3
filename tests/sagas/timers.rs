//! Waits are durable: they end in time, once, whatever happened in between.

use crate::market::{
    Cleared, Confirm, Confirmed, Freed, Held, Outcome, Placed, Refuse, Refused, free, hold, orders,
    placed, purse, shelf,
};
use crate::support::way::until_within;
use callboard::{
    Abort, Bus, Heard, Node, Replay, ReplayError, Saga, Steps,
    saga::{SagaFilter, SagaOutcome, SagaStatus, Sagas},
};
use std::time::Duration;

const DAY: Duration = Duration::from_hours(24);
const QUARTER: Duration = Duration::from_mins(15);

/// Confirms an order once fraud is cleared, or gives its goods back after a day.
async fn screened(steps: &mut Steps, placed: Placed) -> Result<(), Abort> {
    let Placed { order, .. } = placed;
    let freed = order.clone();
    steps.call(hold(&order)).undo(move |_| free(&freed)).await?;
    if steps.wait_for::<Cleared>(&order, DAY).await.is_none() {
        return Err(Abort::new("nobody cleared it"));
    }
    steps.call(Confirm { order }).await?;
    Ok(())
}

fn screening() -> Saga<Placed, ()> {
    Saga::new("screening", screened)
        .takeover_after(Duration::from_secs(2))
        .on(|placed: Placed| placed)
        .hears(|cleared: &Cleared| cleared.order.clone())
}

fn play() -> Replay {
    Replay::of(shelf()).with(orders(screening()))
}

fn cleared(order: &str) -> Cleared {
    Cleared { order: order.into() }
}

fn ends(heard: &Heard) -> (usize, usize, usize) {
    (
        heard.events::<Held>().len(),
        heard.events::<Freed>().len(),
        heard.events::<Confirmed>().len(),
    )
}

#[tokio::test]
async fn a_saga_goes_on_when_the_event_comes_that_it_waits_for() -> Outcome {
    let waiting = play().given(placed("o-1")).settle().await?;
    assert_eq!(ends(&waiting), (1, 0, 0));
    let heard = play()
        .given(placed("o-1"))
        .after(QUARTER)
        .given(cleared("o-2"))
        .given(cleared("o-1"))
        .after(DAY * 2)
        .settle()
        .await?;
    assert_eq!(ends(&heard), (1, 0, 1), "and its timer fires to no end");
    Ok(())
}

#[tokio::test]
async fn an_event_that_came_before_the_wait_is_not_missed() -> Outcome {
    let heard = play()
        .given(cleared("o-1"))
        .given(placed("o-1"))
        .settle()
        .await?;
    assert_eq!(ends(&heard), (1, 0, 1));
    Ok(())
}

#[tokio::test]
async fn without_the_event_the_wait_ends_in_time() -> Outcome {
    let early = play()
        .given(placed("o-1"))
        .after(QUARTER * 95)
        .settle()
        .await?;
    assert_eq!(ends(&early), (1, 0, 0));
    let late = play()
        .given(placed("o-1"))
        .after(DAY + QUARTER)
        .settle()
        .await?;
    assert_eq!(ends(&late), (1, 1, 0));
    Ok(())
}

#[tokio::test]
async fn a_wait_survives_its_runner_at_every_place() -> Outcome {
    let clear = |place| async move {
        let given = play().crash_at(place).given(placed("o-1")).after(QUARTER);
        given.given(cleared("o-1")).after(DAY * 2).settle().await
    };
    let expire = |place| async move {
        let given = play().crash_at(place).given(placed("o-1"));
        given.after(DAY * 2).settle().await
    };
    for place in 0..=(clear(0).await?.places()) {
        assert_eq!(
            ends(&clear(place).await?),
            (1, 0, 1),
            "cleared, dead at {place}"
        );
    }
    for place in 0..=(expire(0).await?.places()) {
        assert_eq!(
            ends(&expire(place).await?),
            (1, 1, 0),
            "expired, dead at {place}"
        );
    }
    Ok(())
}

/// Refuses an order that is unpaid after a quarter of an hour.
async fn unpaid(steps: &mut Steps, placed: Placed) -> Result<(), Abort> {
    steps.sleep(QUARTER).await;
    let reason = "it was not paid".to_owned();
    steps.send(Refuse { order: placed.order, reason }).await;
    Ok(())
}

async fn left_unpaid(place: u64, time: Duration) -> Result<Heard, ReplayError> {
    let saga = Saga::new("unpaid", unpaid)
        .takeover_after(Duration::from_secs(2))
        .on(|placed: Placed| placed);
    Replay::of(orders(saga))
        .crash_at(place)
        .given(placed("o-1"))
        .after(time)
        .settle()
        .await
}

#[tokio::test]
async fn a_sleep_ends_once_and_not_early() -> Outcome {
    let early = left_unpaid(0, Duration::from_secs(14 * 60 + 55)).await?;
    assert_eq!(early.events::<Refused>().len(), 0);
    let whole = left_unpaid(0, QUARTER * 2).await?;
    for place in 0..=whole.places() {
        let heard = left_unpaid(place, QUARTER * 2).await?;
        assert_eq!(heard.events::<Refused>().len(), 1, "dead at {place}");
    }
    Ok(())
}

#[tokio::test]
async fn a_deadline_calls_a_saga_off_that_waits() -> Outcome {
    let saga = screening().deadline(Duration::from_hours(1));
    let heard = Replay::of(shelf())
        .with(purse())
        .with(orders(saga))
        .given(placed("o-1"))
        .after(Duration::from_hours(2))
        .given(cleared("o-1"))
        .settle()
        .await?;
    assert_eq!(ends(&heard), (1, 1, 0));
    Ok(())
}

#[tokio::test]
async fn a_saga_that_waits_for_ever_is_told_of_as_any_other() -> Outcome {
    let patient = async |steps: &mut Steps, placed: Placed| {
        let cleared = steps.wait_for::<Cleared>(placed.order, Duration::MAX).await;
        Ok::<_, Abort>(cleared.is_some())
    };
    let saga = Saga::new("patient", patient)
        .deadline(Duration::MAX)
        .hears(|cleared: &Cleared| cleared.order.clone());
    let node = Node::new("one", Bus::embedded())
        .group(orders(saga))
        .start()
        .await?;
    let client = node.client();
    let sagas = Sagas::open(&client, "patient").await?;
    sagas.start("o-1", &placed("o-1")).await?;
    until_within(
        Duration::from_secs(20),
        "a wait without an end",
        async || {
            let list = sagas.list(&SagaFilter::live()).await;
            let list = list.map_err(|error| error.to_string())?.sagas;
            let why = list.first().map(SagaStatus::why).unwrap_or_default();
            why.contains("until 9999-12-31").then_some(()).ok_or(why)
        },
    )
    .await;
    client.publish(cleared("o-1")).await?;
    let outcome = sagas.wait::<bool>("o-1", Duration::MAX).await?;
    assert_eq!(outcome, SagaOutcome::Completed(true));
    node.stop().await?;
    Ok(())
}
