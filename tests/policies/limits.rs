use crate::callee::{Act, Callee, Charge, Verdict, ms};
use callboard::{
    CallError,
    message::Status,
    policy::{Bulkhead, By, Policies, Policy, Rate},
};
use std::time::Duration;
use tokio::time::advance;

const SECOND: Duration = Duration::from_secs(1);

fn table(rate: Rate) -> Policies {
    Policies::new().domain("till", Policy::new().rate(rate))
}

#[tokio::test(start_paused = true)]
async fn a_bucket_lets_so_many_through_and_says_when_the_next() -> Verdict {
    let callee = Callee::open(Act::Reply).await?;
    let client = callee.client(table(Rate::new(2, 10 * SECOND)));
    client.call(Charge::of("ada")).await?;
    client.call(Charge::of("bob")).await?;
    let error = client.call(Charge::of("eve")).await.expect_err("too many");
    assert!(
        matches!(error, CallError::Limited { remaining: 0, .. }),
        "{error:?}"
    );
    assert_eq!(error.status(), Some(Status::Limited));
    let reset = error.retry_after().ok_or("it is known")?;
    assert!(reset <= 5 * SECOND && reset > 4 * SECOND, "{reset:?}");
    advance(reset).await;
    assert_eq!(client.call(Charge::of("eve")).await?, 3);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn each_key_and_each_value_of_a_field_has_its_own_limit() -> Verdict {
    for by in [By::Key, By::Field("user".to_owned())] {
        let callee = Callee::open(Act::Reply).await?;
        let client = callee.client(table(Rate::new(1, SECOND).window().by(by)));
        client.call(Charge::of("ada")).await?;
        client.call(Charge::of("bob")).await?;
        let error = client.call(Charge::of("ada")).await.expect_err("too many");
        assert!(matches!(error, CallError::Limited { .. }), "{error:?}");
        advance(error.retry_after().ok_or("it is known")?).await;
        client.call(Charge::of("ada")).await?;
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_bulkhead_holds_back_what_is_too_much() -> Verdict {
    let callee = Callee::open(|_| Act::Wait(ms(100), 1)).await?;
    let policy = Policy::new().bulkhead(Bulkhead::new(2).queue(2, SECOND));
    let client = callee.client(Policies::new().otherwise(policy));
    let charges = (0..5).map(|_| Charge::of("ada"));
    let answers = client.call_all(charges).at_once(5).await;
    let done = answers.iter().filter(|answer| answer.is_ok()).count();
    assert_eq!((done, callee.tried()), (4, 4));
    let full = answers
        .into_iter()
        .find_map(Result::err)
        .ok_or("one too many")?;
    assert!(matches!(full, CallError::Unavailable { .. }), "{full:?}");
    assert!(
        full.to_string()
            .contains("2 calls are in flight and 2 wait"),
        "{full}"
    );
    Ok(())
}
