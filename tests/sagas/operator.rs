//! What the operator sees of sagas, and what they do when told.

use crate::market::{
    Cleared, Confirm, Outcome, Pay, Placed, Refuse, Repay, checkouts, free, hold, orders, pay,
    placed, purse, shelf,
};
use callboard::{
    Abort, Actor, Answer, Bus, Context, Failure, Group, Node, Refusal, Running, Saga, Steps,
    bus::{Expect, Message, StreamConfig},
    message::{Headers, Key, headers},
    saga::{SagaError, SagaFilter, SagaOutcome, SagaPhase, SagaState, Sagas},
    time::Clock,
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::sync::Notify;

const SOON: Duration = Duration::from_secs(10);

async fn node<T: 'static>(
    saga: Saga<Placed, T>,
    purse: Group,
) -> Result<Running, callboard::NodeError> {
    Node::new("one", Bus::embedded())
        .group(shelf())
        .group(purse)
        .group(orders(saga))
        .start()
        .await
}

#[tokio::test]
async fn a_saga_is_started_by_code_once_and_tells_its_outcome() -> Outcome {
    let node = node(checkouts(), purse()).await?;
    let sagas = Sagas::open(&node.client(), "checkout").await?;
    sagas.start("good", &placed("good")).await?;
    sagas.start("good", &placed("good")).await?;
    sagas.start("late", &placed("late")).await?;
    let done = sagas.wait::<String>("good", SOON).await?;
    assert_eq!(done, SagaOutcome::Completed("hold of good".to_owned()));
    let SagaOutcome::Compensated(abort) = sagas.wait::<String>("late", SOON).await? else {
        panic!("it was too late");
    };
    assert_eq!(abort.rejection(), Some(crate::market::TooLate));
    let status = sagas.status("late").await?;
    let steps: Vec<_> = status
        .steps
        .iter()
        .map(|step| (&*step.name, step.state))
        .collect();
    assert_eq!(
        steps,
        [
            ("shelf.hold", "undone"),
            ("purse.pay", "undone"),
            ("orders.confirm", "failed")
        ]
    );
    let undone: Vec<_> = status
        .steps
        .iter()
        .map(|step| step.undo.as_deref())
        .collect();
    assert_eq!(undone, [Some("shelf.free"), Some("purse.repay"), None]);
    assert_eq!(status.why(), "all was undone, because it is too late");
    let over = sagas.list(&SagaFilter::all()).await?.sagas;
    assert_eq!(over.len(), 2);
    assert!(over.iter().all(|saga| saga.state.is_over()));
    assert_eq!(sagas.list(&SagaFilter::live()).await?.matched, 0);
    assert!(matches!(
        sagas.cancel("good").await,
        Err(SagaError::Over { .. })
    ));
    assert!(matches!(
        sagas.status("none").await,
        Err(SagaError::NotFound { .. })
    ));
    node.stop().await?;
    Ok(())
}

/// Waits for a day with the goods in hand.
async fn dawdle(steps: &mut Steps, placed: Placed) -> Result<(), Abort> {
    let freed = placed.order.clone();
    steps
        .call(hold(&placed.order))
        .undo(move |_| free(&freed))
        .await?;
    steps.sleep(Duration::from_hours(24)).await;
    steps.call(Confirm { order: placed.order }).await?;
    Ok(())
}

/// Waits until a saga says why it does not go on.
async fn until(sagas: &Sagas, id: &str, why: &str) -> Outcome {
    let deadline = tokio::time::Instant::now() + SOON;
    loop {
        let found = match sagas.status(id).await {
            Ok(status) => status.why(),
            Err(error) => error.to_string(),
        };
        if found.contains(why) {
            return Ok(());
        }
        assert!(tokio::time::Instant::now() < deadline, "{found}");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_saga_that_sleeps_is_cancelled_and_undone() -> Outcome {
    let node = node(Saga::new("dawdle", dawdle), purse()).await?;
    let sagas = Sagas::open(&node.client(), "dawdle").await?;
    sagas.start("o-1", &placed("o-1")).await?;
    until(&sagas, "o-1", "it waits for `sleep` until").await?;
    // It is only woken, and sleeps on.
    sagas.retry("o-1").await?;
    sagas.cancel("o-1").await?;
    let outcome = sagas.wait::<()>("o-1", SOON).await?;
    let cancelled = Abort::new("it was cancelled by the operator");
    assert_eq!(outcome, SagaOutcome::Compensated(cancelled));
    node.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_saga_that_waits_says_for_what_and_how_long() -> Outcome {
    let saga = Saga::new("patient", async |steps: &mut Steps, placed: Placed| {
        let cleared = steps.wait_for::<Cleared>(placed.order, Duration::from_hours(1));
        cleared
            .await
            .map(drop)
            .ok_or_else(|| Abort::new("nobody cleared it"))
    });
    let saga = saga.hears(|cleared: &Cleared| cleared.order.clone());
    let node = node(saga, purse()).await?;
    let sagas = Sagas::open(&node.client(), "patient").await?;
    sagas.start("o-1", &placed("o-1")).await?;
    until(&sagas, "o-1", "it waits for fraud.cleared of `o-1` until ").await?;
    node.stop().await?;
    Ok(())
}

/// Takes money, from which there is no way back, then confirms.
async fn firm(steps: &mut Steps, placed: Placed) -> Result<(), Abort> {
    let Placed { order, amount } = placed;
    let reason = "the money is returned".to_owned();
    let refuse = Refuse { order: order.clone(), reason };
    steps
        .call(pay(&order, amount))
        .undo(move |_| refuse)
        .await?;
    steps.pivot();
    steps.call(Confirm { order }).await?;
    Ok(())
}

#[tokio::test]
async fn past_its_pivot_a_saga_is_parked_and_undone_by_force_only() -> Outcome {
    let node = node(Saga::new("firm", firm), purse()).await?;
    let sagas = Sagas::open(&node.client(), "firm").await?;
    sagas.start("late", &placed("late")).await?;
    until(&sagas, "late", "there is no way back").await?;
    assert!(matches!(
        sagas.cancel("late").await,
        Err(SagaError::Pivoted { .. })
    ));
    sagas.compensate("late").await?;
    let outcome = sagas.wait::<()>("late", SOON).await?;
    assert!(
        matches!(outcome, SagaOutcome::Compensated(_)),
        "{outcome:?}"
    );
    node.stop().await?;
    Ok(())
}

/// A purse that takes its time until it is let go.
fn slow_purse(let_go: &Arc<Notify>) -> Group {
    let let_go = Arc::clone(let_go);
    let pay = async move |(): &mut (), _: Pay, _: &Context| -> Answer<Pay> {
        let_go.notified().await;
        let_go.notify_one();
        Ok(7)
    };
    let refuse = async |(): &mut (), _: Repay, _: &Context| -> Answer<Repay> { Ok(()) };
    let purse = Actor::new("purse", async || Ok::<_, Failure>(()));
    Group::new("purse").child(purse.answer(pay).answer(refuse))
}

#[tokio::test]
async fn what_is_called_off_before_its_pivot_is_written_turns_back() -> Outcome {
    for passes in [false, true] {
        let let_go = Arc::new(Notify::new());
        let saga = Saga::new("firm", firm);
        let saga = if passes {
            saga.deadline(Duration::from_millis(300))
        } else {
            saga
        };
        let node = node(saga, slow_purse(&let_go)).await?;
        let sagas = Sagas::open(&node.client(), "firm").await?;
        sagas.start("o-1", &placed("o-1")).await?;
        until(&sagas, "o-1", "the outcome of `purse.pay`").await?;
        if passes {
            let deadline = sagas.status("o-1").await?.deadline.ok_or("no deadline")?;
            // A deadline is noticed a little later.
            while Clock::system().now() < deadline + Duration::from_millis(500) {
                tokio::task::yield_now().await;
            }
        } else {
            sagas.cancel("o-1").await?;
        }
        let_go.notify_one();
        let outcome = sagas.wait::<()>("o-1", SOON).await?;
        assert!(
            matches!(outcome, SagaOutcome::Compensated(_)),
            "{outcome:?}"
        );
        node.stop().await?;
    }
    Ok(())
}

/// A purse that cannot give money back until somebody mends it.
fn stuck_purse(mended: &Arc<AtomicBool>) -> Group {
    let mended = Arc::clone(mended);
    let purse = Actor::new("purse", async || Ok::<_, Failure>(()))
        .answer(async |(): &mut (), _: Pay, _: &Context| -> Answer<Pay> { Ok(7) })
        .answer(
            async move |(): &mut (), _: Repay, _: &Context| -> Answer<Repay> {
                if mended.load(Ordering::SeqCst) {
                    return Ok(());
                }
                Err(Refusal::Failed(Failure::retry("the bank is closed")))
            },
        );
    Group::new("purse").child(purse)
}

#[tokio::test]
async fn what_cannot_be_undone_is_parked_until_the_operator_says_to_try_again() -> Outcome {
    let mended = Arc::new(AtomicBool::new(false));
    let retry =
        callboard::Retry::new(2).backoff(Duration::from_millis(5), Duration::from_millis(5));
    let node = node(checkouts().undo_retry(retry), stuck_purse(&mended)).await?;
    let sagas = Sagas::open(&node.client(), "checkout").await?;
    sagas.start("late", &placed("late")).await?;
    until(
        &sagas,
        "late",
        "`purse.repay`, which undoes `purse.pay`, did not succeed",
    )
    .await?;
    assert!(matches!(
        sagas.status("late").await?.state,
        SagaState::Parked(_)
    ));
    mended.store(true, Ordering::SeqCst);
    sagas.retry("late").await?;
    let outcome = sagas.wait::<String>("late", SOON).await?;
    assert!(
        matches!(outcome, SagaOutcome::Compensated(_)),
        "{outcome:?}"
    );
    node.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_list_is_of_the_states_that_are_asked_for_and_no_longer_than_that() -> Outcome {
    let node = node(checkouts(), purse()).await?;
    let sagas = Sagas::open(&node.client(), "checkout").await?;
    for number in 0..6 {
        for what in ["good", "late"] {
            let id = format!("{what}-{number}");
            sagas.start(&id, &placed(&id)).await?;
            sagas.wait::<String>(&id, SOON).await?;
        }
    }
    let ids = async |filter: SagaFilter| {
        let found = sagas.list(&filter).await?;
        let ids: Vec<_> = found.sagas.into_iter().map(|saga| saga.id).collect();
        Ok::<_, SagaError>((found.matched, ids))
    };
    let good = SagaFilter::all().phases([SagaPhase::Completed]).limit(2);
    let expected = vec!["good-4".to_owned(), "good-5".to_owned()];
    assert_eq!(
        ids(good).await?,
        (6, expected),
        "those that began last, the oldest first"
    );
    assert_eq!(ids(SagaFilter::all()).await?.1.len(), 12);
    assert_eq!(ids(SagaFilter::all().limit(0)).await?, (12, Vec::new()));
    assert_eq!(ids(SagaFilter::live()).await?, (0, Vec::new()));
    node.stop().await?;
    Ok(())
}

#[tokio::test]
async fn what_panics_over_its_last_word_is_parked() -> Outcome {
    let saga = Saga::new("speechless", crate::market::checkout)
        .on_abort(|_: Placed, _: &Abort| -> Refuse { panic!("no words") });
    let node = node(saga, purse()).await?;
    let sagas = Sagas::open(&node.client(), "speechless").await?;
    sagas.start("scarce", &placed("scarce")).await?;
    until(&sagas, "scarce", "no words").await?;
    node.stop().await?;
    Ok(())
}

#[tokio::test]
async fn what_only_has_its_last_word_left_says_so() -> Outcome {
    let node = Node::new("one", Bus::embedded())
        .group(shelf())
        .group(purse())
        .group(Group::new("orders").child(checkouts()))
        .start()
        .await?;
    let sagas = Sagas::open(&node.client(), "checkout").await?;
    sagas.start("declined", &placed("declined")).await?;
    until(
        &sagas,
        "declined",
        "all is undone, and that is still to be said, because the purse is empty",
    )
    .await?;
    node.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_journal_that_cannot_be_read_is_told_beside_the_others() -> Outcome {
    let node = node(checkouts(), purse()).await?;
    let client = node.client();
    let sagas = Sagas::open(&client, "checkout").await?;
    sagas.start("good", &placed("good")).await?;
    sagas.wait::<String>("good", SOON).await?;
    let names = client.namespace();
    let stream = client
        .bus()
        .stream(&StreamConfig::sagas(names, "checkout"))
        .await?;
    let scribble = Message::new(names.saga("checkout", &Key::new("bad")?), "scribble");
    let mut own = Headers::new();
    own.insert(headers::MSG_ID, "1")?;
    stream.append(scribble.headers(own), Expect::Any).await?;

    let list = sagas.list(&SagaFilter::all()).await?;
    assert_eq!(list.sagas.len(), 1);
    let told: Vec<_> = list.unreadable.iter().collect();
    assert!(
        matches!(&told[..], [(id, reason)] if *id == "bad" && reason.contains("checkout.bad")),
        "{told:?}"
    );
    let next = Node::new("next", client.bus().clone()).group(orders(checkouts()));
    let stranded = next.check().await?;
    assert_eq!(stranded.len(), 1);
    assert_eq!(
        (stranded[0].id.as_str(), &stranded[0].reason),
        ("bad", told[0].1)
    );
    Ok(node.stop().await?)
}

#[tokio::test]
async fn a_saga_says_that_it_is_called_off_or_late_while_a_step_is_out_and_where_its_pivot_was()
-> Outcome {
    for (is_late, limit) in [(true, Duration::from_millis(300)), (false, SOON)] {
        let let_go = Arc::new(Notify::new());
        let saga = Saga::new("firm", firm).deadline(limit);
        let node = node(saga, slow_purse(&let_go)).await?;
        let sagas = Sagas::open(&node.client(), "firm").await?;
        sagas.start("o-1", &placed("o-1")).await?;
        until(&sagas, "o-1", "it waits for the outcome of `purse.pay`").await?;
        if is_late {
            until(&sagas, "o-1", "its deadline passed at ").await?;
        } else {
            sagas.cancel("o-1").await?;
            until(&sagas, "o-1", "it was cancelled by the operator").await?;
        }
        let status = sagas.status("o-1").await?;
        assert_eq!(
            (status.is_late, status.called_off.is_some()),
            (is_late, !is_late)
        );
        let why = status.why();
        assert!(
            why.contains("it turns back; first it waits for the outcome of `purse.pay`"),
            "{why}"
        );
        assert_eq!(status.pivot, None);
        let_go.notify_one();
        sagas.wait::<()>("o-1", SOON).await?;
        node.stop().await?;
    }
    let node = node(Saga::new("firm", firm), purse()).await?;
    let sagas = Sagas::open(&node.client(), "firm").await?;
    sagas.start("good", &placed("good")).await?;
    sagas.wait::<()>("good", SOON).await?;
    let pivot = sagas
        .status("good")
        .await?
        .pivot
        .ok_or("it passed its pivot")?;
    assert_eq!(pivot.after.as_deref(), Some("purse.pay"));
    Ok(node.stop().await?)
}
