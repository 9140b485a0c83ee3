use crate::callee::{Act, Callee, Charge, Verdict, ms};
use callboard::{
    CallError,
    bus::StreamConfig,
    message::Status,
    policy::{Cache, Fallback, Grade, Policies, Policy},
};
use serde_json::json;
use std::time::Duration;
use tokio::time::advance;

const TTL: Duration = Duration::from_secs(30);

fn table(policy: Policy) -> Policies {
    Policies::new().domain("till", policy)
}

fn at_first_well(number: u32) -> Act {
    match number {
        1 => Act::Reply(1),
        _ => Act::Refuse(Status::Unavailable),
    }
}

#[tokio::test(start_paused = true)]
async fn a_reply_is_given_again_until_it_is_old() -> Verdict {
    let callee = Callee::open(Act::Reply).await?;
    let client = callee.client(table(Policy::new().cache(Cache::new(2, TTL))));
    let first = client.call(Charge::of("ada")).graded().await?;
    assert_eq!((first.reply, first.grade), (1, Grade::Fresh));
    let again = client.call(Charge::of("ada")).graded().await?;
    assert_eq!((again.reply, again.grade), (1, Grade::Cached));
    assert!(!again.grade.is_degraded());
    assert_eq!(client.call(Charge::of("bob")).await?, 2);
    advance(TTL).await;
    assert_eq!(client.call(Charge::of("ada")).await?, 3);
    client.call(Charge::of("eve")).await?;
    assert_eq!(
        client.call(Charge::of("bob")).await?,
        5,
        "there is room for two"
    );
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn calls_that_routes_tell_apart_are_not_given_each_others_replies() -> Verdict {
    let callee = Callee::open(|number| match number {
        1..=3 => Act::Reply(number),
        _ => Act::Refuse(Status::Unavailable),
    })
    .await?;
    let policy = Policy::new().cache(Cache::new(9, TTL));
    let client = callee.client(table(policy.fallback(Fallback::LastReply)));
    let canary = |is_one| client.call(Charge::of("ada")).header("x-canary", is_one);
    let both = || canary("true").header("x-user", "ada");
    assert_eq!(client.call(Charge::of("ada")).await?, 1);
    assert_eq!(canary("true").await?, 2);
    assert_eq!(both().await?, 3);
    assert_eq!(client.call(Charge::of("ada")).await?, 1);
    assert_eq!(canary("false").header("x-canary", "true").await?, 2);
    let turned = client.call(Charge::of("ada")).header("x-user", "ada");
    assert_eq!(turned.header("x-canary", "true").await?, 3, "in any order");
    advance(TTL).await;
    assert_eq!(canary("true").await?, 2, "its own last reply");
    canary("false").await.expect_err("it has none");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn headers_that_say_what_a_call_is_cannot_be_set() -> Verdict {
    let callee = Callee::open(Act::Reply).await?;
    let client = callee.client(table(Policy::new().fallback(Fallback::Value(json!(42)))));
    for name in [
        "cb-deadline",
        "Nats-Msg-Id",
        "ce-id",
        "traceparent",
        "tracestate",
    ] {
        let refused = client.call(Charge::of("ada")).header(name, "1").await;
        let error = refused.expect_err(name);
        assert!(matches!(error, CallError::Header { .. }), "{error:?}");
        assert!(error.to_string().contains("are reserved"), "{error}");
    }
    assert_eq!(callee.tried(), 0);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_value_stands_in_for_a_reply_and_says_so() -> Verdict {
    let callee = Callee::open(|_| Act::Refuse(Status::Failed)).await?;
    let client = callee.client(table(Policy::new().fallback(Fallback::Value(json!(42)))));
    assert_eq!(client.call(Charge::of("ada")).await?, 42);
    let graded = client.call(Charge::of("ada")).graded().await?;
    assert_eq!((graded.reply, graded.grade), (42, Grade::Substitute));
    assert!(graded.grade.is_degraded());
    let wrong = callee.client(table(
        Policy::new().fallback(Fallback::Value(json!("many"))),
    ));
    let error = wrong
        .call(Charge::of("ada"))
        .await
        .expect_err("it is no number");
    assert!(
        error
            .to_string()
            .contains("fallback in its policy that is no reply"),
        "{error}"
    );
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn the_last_reply_to_the_same_command_stands_in_however_old() -> Verdict {
    let callee = Callee::open(at_first_well).await?;
    let client = callee.client(table(Policy::new().fallback(Fallback::LastReply)));
    assert_eq!(client.call(Charge::of("ada")).await?, 1);
    advance(TTL * 10).await;
    let old = client.call(Charge::of("ada")).graded().await?;
    assert_eq!(old.reply, 1);
    assert!(
        matches!(old.grade, Grade::Old { age } if age >= TTL * 10),
        "{old:?}"
    );
    let never = client.call(Charge::of("bob")).await;
    assert!(
        matches!(never, Err(CallError::Unavailable { .. })),
        "{never:?}"
    );
    assert_eq!(callee.tried(), 3, "it is no cache");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_done_now_is_put_off_unless_it_may_be_done() -> Verdict {
    let callee = Callee::open(|number| match number {
        1 => Act::Refuse(Status::Unavailable),
        _ => Act::Keep,
    })
    .await?;
    let client = callee.client(table(Policy::new().fallback(Fallback::Job)));
    let put_off = client.call(Charge::of("ada")).await;
    let Err(CallError::PutOff { id, .. }) = put_off else {
        return Err(format!("{put_off:?}").into());
    };
    assert_eq!(id, callee.requests()[0].id);
    let jobs = callee
        .bus
        .stream(&StreamConfig::jobs(client.namespace(), "till"))
        .await?;
    assert_eq!(jobs.info().await?.messages, 1);
    let unsure = client.call(Charge::of("ada")).timeout(ms(10)).await;
    assert!(
        matches!(unsure, Err(CallError::Timeout { .. })),
        "{unsure:?}"
    );
    assert_eq!(jobs.info().await?.messages, 1);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn nothing_falls_back_on_a_no() -> Verdict {
    let callee = Callee::open(|_| Act::Decline).await?;
    let client = callee.client(table(Policy::new().fallback(Fallback::Value(json!(42)))));
    let declined = client.call(Charge::of("ada")).await;
    assert!(
        matches!(declined, Err(CallError::Rejected(_))),
        "{declined:?}"
    );
    Ok(())
}
