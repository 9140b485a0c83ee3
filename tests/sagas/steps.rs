//! What steps do, side by side, past the pivot, and in trouble.

use crate::market::{
    Confirm, Confirmed, Declined, Freed, Held, Outcome, Paid, Pay, Placed, Refuse, Refused, Repaid,
    TooLate, checkouts, free, hold, orders, pay, placed, purse, repay, shelf,
};
use callboard::{
    Abort, Actor, Answer, Context, Failure, Group, Heard, Refusal, Replay, ReplayError, Saga, Steps,
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

async fn play<T: 'static>(
    saga: Saga<Placed, T>,
    order: &str,
    place: u64,
) -> Result<Heard, ReplayError> {
    let saga = saga.takeover_after(Duration::from_secs(2));
    let play = Replay::of(shelf()).with(purse()).with(orders(saga));
    play.crash_at(place).given(placed(order)).settle().await
}

/// Holds the goods and takes the money side by side.
async fn both(steps: &mut Steps, placed: Placed) -> Result<(), Abort> {
    let Placed { order, amount } = placed;
    let (freed, repaid) = (order.clone(), order.clone());
    let (held, paid) = steps
        .join(
            steps.call(hold(&order)).undo(move |_| free(&freed)),
            steps
                .call(pay(&order, amount))
                .undo(move |_| repay(&repaid, amount)),
        )
        .await;
    held?;
    paid?;
    steps.call(Confirm { order }).await?;
    Ok(())
}

#[tokio::test]
async fn steps_side_by_side_are_all_settled_before_the_way_back() -> Outcome {
    let saga = || Saga::new("both", both).on(|placed: Placed| placed);
    for (order, counts) in [
        ("good", [1, 0, 1, 0, 1]),
        ("scarce", [0, 0, 1, 1, 0]),
        ("declined", [1, 1, 0, 0, 0]),
        ("late", [1, 1, 1, 1, 0]),
    ] {
        let places = play(saga(), order, 0).await?.places();
        for place in 0..=places {
            let heard = play(saga(), order, place).await?;
            let found = [
                heard.events::<Held>().len(),
                heard.events::<Freed>().len(),
                heard.events::<Paid>().len(),
                heard.events::<Repaid>().len(),
                heard.events::<Confirmed>().len(),
            ];
            assert_eq!(found, counts, "{order}, dead at {place} of {places}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn what_is_too_large_for_one_message_of_the_journal_is_written_in_parts() -> Outcome {
    let code = async |steps: &mut Steps, placed: Placed| {
        let reason = "no ".repeat(70_000);
        let refuse = |number| {
            let order = format!("{}-{number}", placed.order);
            steps.call(Refuse { order, reason: reason.clone() })
        };
        for refused in steps.all((0..9).map(refuse)).await {
            refused?;
        }
        Ok::<_, Abort>(())
    };
    let saga = || Saga::new("verbose", code).on(|placed: Placed| placed);
    let places = play(saga(), "o-1", 0).await?.places();
    for place in 0..=places {
        let heard = play(saga(), "o-1", place).await?;
        assert_eq!(
            heard.events::<Refused>().len(),
            9,
            "dead at {place} of {places}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_rejection_is_typed_and_the_code_may_go_another_way() -> Outcome {
    let saga = Saga::new("second", async |steps: &mut Steps, placed: Placed| {
        let Placed { order, amount } = placed;
        match steps.call(pay(&order, amount)).await {
            Err(Declined) => {
                let other = format!("second of {}", &order[..1]);
                steps
                    .call(pay(&other, amount))
                    .named("second purse")
                    .await?;
            }
            Ok(_) => return Err(Abort::from(TooLate)),
        }
        Ok::<_, Abort>(())
    });
    let heard = play(saga.on(|placed: Placed| placed), "declined", 0).await?;
    assert_eq!(heard.events::<Paid>().len(), 1);
    assert_eq!(heard.commands::<Pay>().len(), 2);
    Ok(())
}

/// A purse whose answers come late, or not at all, at first.
fn slow_purse(times: u32) -> (Group, Arc<AtomicU32>) {
    let calls = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&calls);
    let purse = Actor::new("purse", async || Ok::<_, Failure>(())).answer(
        async move |(): &mut (), _: Pay, _: &Context| -> Answer<Pay> {
            if counted.fetch_add(1, Ordering::SeqCst) < times {
                return Err(Refusal::Failed(Failure::retry("the bank says nothing")));
            }
            Ok(7)
        },
    );
    (Group::new("purse").child(purse), calls)
}

#[tokio::test]
async fn an_unknown_outcome_is_settled_by_calling_again_under_the_same_id() -> Outcome {
    let (purse, calls) = slow_purse(3);
    let heard = Replay::of(shelf())
        .with(purse)
        .with(orders(checkouts()))
        .given(placed("good"))
        .settle()
        .await?;
    assert_eq!(calls.load(Ordering::SeqCst), 4);
    assert_eq!(heard.events::<Confirmed>().len(), 1);
    assert_eq!(heard.events::<Freed>().len(), 0);
    Ok(())
}

#[tokio::test]
async fn past_its_deadline_an_unknown_outcome_is_settled_and_then_undone() -> Outcome {
    let (purse, calls) = slow_purse(12);
    let saga = Saga::new("hasty", async |steps: &mut Steps, placed: Placed| {
        let (order, amount) = (placed.order, placed.amount);
        let freed = order.clone();
        steps
            .call(pay(&order, amount))
            .undo(move |_| free(&freed))
            .await?;
        steps.call(Confirm { order }).await?;
        Ok::<_, Abort>(())
    });
    let saga = saga
        .deadline(Duration::from_secs(3))
        .on(|placed: Placed| placed);
    let heard = Replay::of(shelf())
        .with(purse)
        .with(orders(saga))
        .given(placed("good"))
        .settle()
        .await?;
    assert_eq!(
        calls.load(Ordering::SeqCst),
        13,
        "until its outcome was known"
    );
    assert_eq!(
        (
            heard.events::<Freed>().len(),
            heard.events::<Confirmed>().len()
        ),
        (1, 0)
    );
    Ok(())
}

#[tokio::test]
async fn what_nobody_answers_is_undone_in_the_end() -> Outcome {
    let heard = Replay::of(shelf())
        .with(orders(checkouts()))
        .patience(Duration::from_hours(1))
        .given(placed("good"))
        .settle()
        .await?;
    assert_eq!(
        (heard.events::<Held>().len(), heard.events::<Freed>().len()),
        (1, 1)
    );
    let refused = heard.events::<Refused>();
    assert!(
        refused[0]
            .reason
            .contains("`purse.pay` could not be called"),
        "{refused:?}"
    );
    Ok(())
}
