use crate::callee::{Act, Callee, Charge, Verdict, ms};
use callboard::{
    Bus, CallError, Client,
    message::{Id, Namespace, Status},
    policy::{Budget, Policies, Policy, Retry},
};
use tokio::time::Instant;

fn table(policy: Policy) -> Policies {
    Policies::new().domain("till", policy)
}

fn busy(until: u32) -> impl Fn(u32) -> Act {
    move |number| match number {
        number if number < until => Act::Refuse(Status::Unavailable),
        number => Act::Reply(number),
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_not_run_is_tried_again_under_the_same_id() -> Verdict {
    let callee = Callee::open(busy(3)).await?;
    let client = callee.client(table(Policy::new().retry(Retry::default())));
    let started = Instant::now();
    assert_eq!(client.call(Charge::of("ada")).await?, 3);
    let waited = started.elapsed();
    assert!(
        (ms(150)..=ms(301)).contains(&waited),
        "100 and 200 ms, less up to half: {waited:?}"
    );
    let requests = callee.requests();
    assert!(requests.iter().all(|request| request.id == requests[0].id));
    let attempts: Vec<_> = requests.iter().map(|request| request.attempt).collect();
    assert_eq!(attempts, [1, 2, 3]);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn attempts_end_with_their_number() -> Verdict {
    let callee = Callee::open(busy(9)).await?;
    let client = callee.client(table(Policy::new().retry(Retry::default())));
    let refused = client.call(Charge::of("ada")).await;
    assert!(
        matches!(refused, Err(CallError::Unavailable { .. })),
        "{refused:?}"
    );
    assert_eq!(callee.tried(), 3);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn what_may_have_been_run_is_tried_again_only_if_its_id_is_known() -> Verdict {
    let failing = |number| match number % 2 {
        1 => Act::Refuse(Status::Failed),
        _ => Act::Reply(number),
    };
    let callee = Callee::open(failing).await?;
    let policy = || Policy::new().retry(Retry::default());
    let client = callee.client(table(policy()));
    let failed = client.call(Charge::of("ada")).await;
    assert!(
        matches!(failed, Err(CallError::Failed { .. })),
        "{failed:?}"
    );
    assert_eq!(callee.tried(), 1, "nobody says that it is idempotent");
    client.call(Charge::of("ada")).await?;
    client.call(Charge::of("ada")).id(Id::new()).await?;
    assert_eq!(callee.tried(), 4, "its caller says so");
    let client = callee.client(table(policy().idempotent()));
    client.call(Charge::of("ada")).await?;
    assert_eq!(callee.tried(), 6, "its policy says so");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn answers_and_the_callers_own_faults_are_not_tried_again() -> Verdict {
    for act in [
        Act::Decline,
        Act::Refuse(Status::NotFound),
        Act::Refuse(Status::Malformed),
    ] {
        let callee = Callee::open(move |_| act).await?;
        let client = callee.client(table(Policy::new().retry(Retry::default()).idempotent()));
        assert!(client.call(Charge::of("ada")).await.is_err());
        assert_eq!(callee.tried(), 1, "{act:?}");
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn each_attempt_has_its_slice_and_none_begins_after_the_deadline() -> Verdict {
    let callee = Callee::open(|_| Act::Keep).await?;
    let policy = Policy::new()
        .deadline(ms(2_500))
        .try_within(ms(1_000))
        .retry(Retry::new(10).backoff(ms(0), ms(0)))
        .idempotent();
    let client = callee.client(table(policy));
    let started = Instant::now();
    let late = client.call(Charge::of("ada")).await;
    assert!(matches!(late, Err(CallError::Timeout { .. })), "{late:?}");
    assert_eq!(callee.tried(), 3, "of 1 s, 1 s and 500 ms");
    assert!(
        (ms(2_499)..ms(2_510)).contains(&started.elapsed()),
        "{:?}",
        started.elapsed()
    );
    let brief = client.call(Charge::of("ada")).timeout(ms(100)).await;
    assert!(matches!(brief, Err(CallError::Timeout { .. })), "{brief:?}");
    assert_eq!(
        callee.tried(),
        4,
        "its caller has less time than its policy"
    );
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_policys_deadline_replaces_the_usual_one() -> Verdict {
    let callee = Callee::open(|_| Act::Wait(ms(20_000), 7)).await?;
    let client = callee.client(table(Policy::new().deadline(ms(30_000))));
    assert_eq!(client.call(Charge::of("ada")).await?, 7);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn who_tries_again_himself_gets_one_attempt() -> Verdict {
    let callee = Callee::open(busy(2)).await?;
    let client = callee.client(table(Policy::new().retry(Retry::default())));
    let once = client.call(Charge::of("ada")).once().await;
    assert!(
        matches!(once, Err(CallError::Unavailable { .. })),
        "{once:?}"
    );
    assert_eq!(callee.tried(), 1);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn with_the_callee_down_attempts_stay_below_a_fifth_more_than_calls() -> Verdict {
    const CALLS: u32 = 5_000;
    let callee = Callee::open(|_| Act::Refuse(Status::Unavailable)).await?;
    let client = callee.client(table(Policy::new().retry(Retry::default())));
    for _ in 0..CALLS / 50 {
        let answers = client
            .call_all((0..50).map(|_| Charge::of("ada")))
            .at_once(50)
            .await;
        assert!(answers.iter().all(Result::is_err));
    }
    let tried = callee.tried();
    assert!(tried > CALLS + CALLS / 10, "{tried}: some are tried again");
    assert!(tried * 10 < CALLS * 12, "{tried} attempts at {CALLS} calls");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_strict_budget_allows_nothing_to_few() -> Verdict {
    let callee = Callee::open(busy(2)).await?;
    let retry = Retry::default().budget(Budget::new(0.2).per_second(0.0));
    let client = callee.client(table(Policy::new().retry(retry)));
    assert!(client.call(Charge::of("ada")).await.is_err());
    assert_eq!(callee.tried(), 1);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn nobody_there_is_worth_another_attempt() -> Verdict {
    let client = Client::new(Bus::embedded(), Namespace::default());
    let client = client.policies(table(Policy::new().retry(Retry::default())))?;
    let started = Instant::now();
    let nobody = client.call(Charge::of("ada")).await;
    assert!(
        matches!(nobody, Err(CallError::NoResponders { .. })),
        "{nobody:?}"
    );
    assert!(started.elapsed() >= ms(150), "it was tried three times");
    Ok(())
}
