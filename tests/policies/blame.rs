//! What counts against a callee, and what its callers spoiled themselves.

use crate::callee::{Act, Callee, Charge, Verdict, ms};
use callboard::{
    CallError,
    message::Status,
    policy::{Budget, Bulkhead, Limits, Policies, Policy, Rate, Retry},
};
use std::time::Duration;
use tokio::time::advance;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_hours(1);

fn table(policy: Policy) -> Policies {
    Policies::new().domain("till", policy)
}

#[tokio::test(start_paused = true)]
async fn impatient_callers_do_not_open_the_breaker_for_all() -> Verdict {
    let callee = Callee::open(|number| Act::Wait(ms(100), number)).await?;
    let client = callee.client(table(Policy::new().breaker(Limits::default())));
    for _ in 0..20 {
        let late = client.call(Charge::of("ada")).timeout(ms(20)).await;
        assert!(matches!(late, Err(CallError::Timeout { .. })), "{late:?}");
    }
    assert_eq!(client.call(Charge::of("ada")).await?, 21);
    for _ in 0..20 {
        let late = client.call(Charge::of("ada")).timeout(ms(20)).await;
        assert!(matches!(late, Err(CallError::Timeout { .. })), "{late:?}");
    }
    assert_eq!(client.call(Charge::of("ada")).await?, 42);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_deadline_that_others_have_spent_is_not_the_callees_failure() -> Verdict {
    let callee = Callee::open(|_| Act::Keep).await?;
    let policy = Policy::new()
        .deadline(SECOND)
        .try_within(ms(600))
        .retry(Retry::new(2).backoff(ms(1), ms(1)))
        .idempotent()
        .breaker(Limits::new().failures(2, HOUR));
    let client = callee.client(table(policy));
    // Each call makes a whole attempt, which counts, and one of what was left.
    for tried in [2, 3] {
        let late = client.call(Charge::of("ada")).await;
        assert!(late.is_err(), "{late:?}");
        assert_eq!(callee.tried(), tried);
    }
    let broken = client.call(Charge::of("ada")).await;
    let is_broken = matches!(broken, Err(CallError::Broken { .. }));
    assert!(is_broken, "two whole attempts were enough: {broken:?}");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_callee_that_falls_silent_is_found_out_by_callers_with_deadlines_of_their_own() -> Verdict
{
    let callee = Callee::open(|number| match number {
        1..=10 => Act::Wait(ms(5), number),
        _ => Act::Keep,
    })
    .await?;
    let client = callee.client(table(Policy::new().breaker(Limits::default())));
    for _ in 0..10 {
        client.call(Charge::of("ada")).await?;
    }
    for _ in 0..5 {
        let late = client.call(Charge::of("ada")).timeout(ms(100)).await;
        assert!(matches!(late, Err(CallError::Timeout { .. })), "{late:?}");
    }
    let broken = client.call(Charge::of("ada")).await;
    assert!(
        matches!(broken, Err(CallError::Broken { .. })),
        "{broken:?}"
    );
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_call_that_was_not_made_spends_nothing_of_the_rate() -> Verdict {
    let callee = Callee::open(|_| Act::Wait(ms(100), 1)).await?;
    for rate in [Rate::new(2, HOUR), Rate::new(2, HOUR).window()] {
        let policy = Policy::new().rate(rate).bulkhead(Bulkhead::new(1));
        let client = callee.client(table(policy));
        let charges = (0..4).map(|_| Charge::of("ada"));
        let answers = client.call_all(charges).at_once(4).await;
        let turned_away = |answer: &Result<u32, CallError<_>>| {
            matches!(answer, Err(CallError::Unavailable { .. }))
        };
        assert_eq!(answers.iter().filter(|it| turned_away(it)).count(), 3);
        assert_eq!(client.call(Charge::of("ada")).await?, 1, "one is left");
        let limited = client.call(Charge::of("ada")).await;
        assert!(
            matches!(limited, Err(CallError::Limited { .. })),
            "{limited:?}"
        );
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn calls_that_an_open_breaker_refuses_earn_no_retries() -> Verdict {
    let callee = Callee::open(|number| match number {
        1 | 3 => Act::Refuse(Status::Unavailable),
        number => Act::Reply(number),
    })
    .await?;
    let budget = Budget::new(0.2).per_second(0.0);
    let policy = Policy::new()
        .breaker(Limits::new().failures(1, SECOND).open(SECOND, SECOND))
        .retry(Retry::default().budget(budget));
    let client = callee.client(table(policy));
    client
        .call(Charge::of("ada"))
        .await
        .expect_err("it is down");
    for _ in 0..100 {
        let broken = client.call(Charge::of("ada")).await;
        assert!(
            matches!(broken, Err(CallError::Broken { .. })),
            "{broken:?}"
        );
    }
    advance(2 * SECOND).await;
    assert_eq!(client.call(Charge::of("ada")).await?, 2, "its probe");
    let failed = client.call(Charge::of("ada")).await;
    assert!(
        matches!(failed, Err(CallError::Unavailable { .. })),
        "three calls reached it, which allows no retry: {failed:?}"
    );
    assert_eq!(callee.tried(), 3);
    Ok(())
}
