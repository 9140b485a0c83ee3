use crate::callee::{Act, Callee, Charge, Verdict, ms};
use callboard::{
    CallError,
    message::Status,
    policy::{Advice, Breaker, Broken, Limits, Outcome, Policies, Policy, Retry, State},
};
use std::{io, time::Duration};
use tokio::time::{Instant, advance, timeout};

const MINUTE: Duration = Duration::from_mins(1);

fn table(limits: Limits) -> Policies {
    Policies::new().domain("till", Policy::new().breaker(limits))
}

#[tokio::test(start_paused = true)]
async fn five_failures_open_it_and_one_probe_closes_it_after_a_minute() -> Verdict {
    let callee = Callee::open(|number| match number {
        1..=6 => Act::Refuse(Status::Failed),
        number => Act::Reply(number),
    })
    .await?;
    let client = callee.client(table(Limits::default()));
    for _ in 0..5 {
        let failed = client.call(Charge::of("ada")).await;
        assert!(
            matches!(failed, Err(CallError::Failed { .. })),
            "{failed:?}"
        );
    }
    let broken = client.call(Charge::of("ada")).await;
    let error = broken.expect_err("it is open");
    assert!(matches!(error, CallError::Broken { .. }), "{error:?}");
    assert_eq!(error.status(), Some(Status::Unavailable));
    let wait = error.retry_after().ok_or("it is known")?;
    assert!((MINUTE..=MINUTE * 11 / 10).contains(&wait), "{wait:?}");
    assert!(error.to_string().contains("try again in 6"), "{error}");
    assert_eq!(callee.tried(), 5);
    advance(wait).await;
    let probed = client.call(Charge::of("ada")).await;
    assert!(
        matches!(probed, Err(CallError::Failed { .. })),
        "{probed:?}"
    );
    let broken = client.call(Charge::of("ada")).await.map(drop);
    let longer = broken
        .expect_err("open again")
        .retry_after()
        .ok_or("known")?;
    assert!(
        (2 * MINUTE..=MINUTE * 22 / 10).contains(&longer),
        "{longer:?}"
    );
    advance(longer).await;
    assert_eq!(client.call(Charge::of("ada")).await?, 7);
    assert_eq!(client.call(Charge::of("ada")).await?, 8);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_no_is_a_success_and_so_is_what_the_caller_did_wrong() -> Verdict {
    for act in [
        Act::Decline,
        Act::Refuse(Status::Malformed),
        Act::Refuse(Status::NotFound),
    ] {
        let callee = Callee::open(move |_| act).await?;
        let client = callee.client(table(Limits::default()));
        for _ in 0..20 {
            client
                .call(Charge::of("ada"))
                .await
                .expect_err("it is refused");
        }
        assert_eq!(callee.tried(), 20, "{act:?}");
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn silence_opens_it_and_a_table_may_say_what_is_a_failure() -> Verdict {
    let callee = Callee::open(|_| Act::Keep).await?;
    let client = callee.client(table(Limits::new().failures(2, MINUTE)));
    for _ in 0..2 {
        let late = client.call(Charge::of("ada")).await;
        assert!(matches!(late, Err(CallError::Timeout { .. })), "{late:?}");
    }
    let broken = client.call(Charge::of("ada")).await;
    assert!(
        matches!(broken, Err(CallError::Broken { .. })),
        "{broken:?}"
    );
    let lenient = callee.client(table(Limits::new().failures(2, MINUTE).statuses([503])));
    for _ in 0..5 {
        let late = lenient.call(Charge::of("ada")).await;
        assert!(matches!(late, Err(CallError::Timeout { .. })), "{late:?}");
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn an_open_breaker_is_not_hammered_by_retries() -> Verdict {
    let callee = Callee::open(|_| Act::Refuse(Status::Unavailable)).await?;
    let policy = Policy::new()
        .breaker(Limits::new().failures(2, MINUTE))
        .retry(Retry::new(10));
    let client = callee.client(Policies::new().otherwise(policy));
    let broken = client.call(Charge::of("ada")).await;
    assert!(
        matches!(broken, Err(CallError::Broken { .. })),
        "{broken:?}"
    );
    assert_eq!(callee.tried(), 2);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_is_given_up_leaves_its_place_to_another() -> Verdict {
    let breaker = Breaker::new("gateway").limits(Limits::new().failures(1, MINUTE));
    let failed = breaker
        .guard(async { Err::<(), _>(io::Error::other("refused")) })
        .await;
    assert!(matches!(failed, Err(Broken::Failed(_))), "{failed:?}");
    advance(2 * MINUTE).await;
    let hanging = breaker.guard(std::future::pending::<Result<(), io::Error>>());
    assert!(timeout(ms(10), hanging).await.is_err(), "it hangs");
    assert_eq!(breaker.state(), State::HalfOpen);
    let done = breaker.guard(async { Ok::<_, io::Error>(7) }).await;
    assert_eq!(done.ok(), Some(7));
    assert_eq!(breaker.state(), State::Closed);
    let counts = breaker.report().counts;
    assert_eq!((counts.total, counts.failed, counts.succeeded), (3, 1, 1));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_function_may_say_what_a_result_means() -> Verdict {
    let breaker = Breaker::new("files").limits(Limits::new().failures(1, MINUTE));
    let judge = |result: &Result<(), io::Error>| match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Outcome::Success,
        Err(_) => Outcome::Failure,
        Ok(()) => Outcome::Success,
    };
    let error = |kind: io::ErrorKind| async move { Err(io::Error::from(kind)) };
    breaker
        .guard_by(error(io::ErrorKind::NotFound), judge)
        .await
        .expect_err("as told");
    assert_eq!(breaker.state(), State::Closed);
    breaker
        .guard_by(error(io::ErrorKind::TimedOut), judge)
        .await
        .expect_err("as told");
    assert_eq!(breaker.state(), State::Open);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn slow_calls_open_it_too() -> Verdict {
    let callee = Callee::open(|_| Act::Wait(ms(300), 1)).await?;
    let limits = Limits::new().slow_rate(0.5, ms(200)).min_calls(4);
    let client = callee.client(table(limits));
    for _ in 0..4 {
        client.call(Charge::of("ada")).await?;
    }
    let broken = client.call(Charge::of("ada")).await;
    assert!(
        matches!(broken, Err(CallError::Broken { .. })),
        "{broken:?}"
    );
    Ok(())
}

#[tokio::test]
async fn an_open_breaker_answers_in_microseconds() -> Verdict {
    let callee = Callee::open(|_| Act::Refuse(Status::Failed)).await?;
    let client = callee.client(table(Limits::new().failures(1, MINUTE)));
    client.call(Charge::of("ada")).await.expect_err("it fails");
    let mut times = Vec::new();
    for _ in 0..1_000 {
        let asked = Instant::now();
        client
            .call(Charge::of("ada"))
            .await
            .expect_err("it is open");
        times.push(asked.elapsed());
    }
    times.sort_unstable();
    assert!(times[500] < ms(1), "{:?}", times[500]);
    assert_eq!(callee.tried(), 1);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_share_of_failures_opens_it_once_there_are_enough_calls() -> Verdict {
    let callee = Callee::open(|number| match number % 2 {
        0 => Act::Refuse(Status::Failed),
        _ => Act::Reply(number),
    })
    .await?;
    let limits = Limits::new().failure_rate(0.5).min_calls(10);
    let client = callee.client(table(limits));
    for _ in 0..20 {
        client.call(Charge::of("ada")).await.ok();
    }
    assert_eq!(callee.tried(), 10, "every second one failed");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn what_another_node_says_is_ignored_suspected_or_followed() -> Verdict {
    let failing = async |breaker: &Breaker| {
        let failed = breaker.guard(async { Err::<(), _>("refused") }).await;
        failed.expect_err("as told");
        breaker.state()
    };
    let cases = [
        (Advice::Ignore, State::Closed, State::Closed),
        (Advice::Suspect, State::Closed, State::Open),
        (Advice::Follow, State::Open, State::Open),
    ];
    for (advice, before, after) in cases {
        let breaker = Breaker::new("gateway").limits(Limits::new().advice(advice));
        breaker.advise(MINUTE);
        assert_eq!(breaker.state(), before, "{advice:?}");
        assert_eq!(failing(&breaker).await, after, "{advice:?}");
    }
    let late = Breaker::new("gateway").limits(Limits::new().advice(Advice::Suspect));
    late.advise(MINUTE);
    advance(MINUTE).await;
    assert_eq!(failing(&late).await, State::Closed, "its time is up");
    Ok(())
}
