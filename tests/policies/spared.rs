use crate::callee::{Act, Callee, Charge, Look, Verdict, ms};
use callboard::{
    CallError, Command,
    bus::StreamConfig,
    message::{Id, Status},
    policy::{Cache, Fallback, Grade, Policies, Policy, Serve},
};
use serde_json::json;
use std::time::Duration;
use tokio::time::advance;

const TTL: Duration = Duration::from_secs(30);

fn table(policy: Policy) -> Policies {
    Policies::new().domain("till", policy)
}

fn of_looks(policy: Policy) -> Policies {
    Policies::new().command(Look::SUBJECT, policy)
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
    let client = callee.client(of_looks(Policy::new().cache(Cache::new(2, TTL))));
    let first = client.call(Look::at("ada")).graded().await?;
    assert_eq!((first.reply, first.grade), (1, Grade::Fresh));
    let again = client.call(Look::at("ada")).graded().await?;
    assert_eq!((again.reply, again.grade), (1, Grade::Cached));
    assert!(!again.grade.is_degraded());
    assert_eq!(client.call(Look::at("bob")).await?, 2);
    advance(TTL).await;
    assert_eq!(client.call(Look::at("ada")).await?, 3);
    client.call(Look::at("eve")).await?;
    assert_eq!(
        client.call(Look::at("bob")).await?,
        5,
        "there is room for two"
    );
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_call_whose_id_is_named_is_not_given_the_last_reply_to_another() -> Verdict {
    let callee = Callee::open(at_first_well).await?;
    let policy = Policy::new().cache(Cache::new(2, TTL));
    let policy = policy.fallback(Fallback::LastReply).serve(Serve::Degraded);
    let client = callee.client(of_looks(policy));
    assert_eq!(client.call(Look::at("ada")).await?, 1);
    advance(TTL).await;
    assert_eq!(
        client.call(Look::at("ada")).await?,
        1,
        "the last one serves"
    );
    let named = client.call(Look::at("ada")).id(Id::new()).await;
    assert!(
        matches!(
            named,
            Err(CallError::Failed { .. } | CallError::Unavailable { .. })
        ),
        "{named:?}"
    );
    let graded = client.call(Look::at("ada")).id(Id::new()).graded().await?;
    assert!(graded.grade.is_degraded(), "who asks for it gets it");
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
    let policy = policy.fallback(Fallback::LastReply).serve(Serve::Degraded);
    let client = callee.client(of_looks(policy));
    let canary = |is_one| client.call(Look::at("ada")).header("x-canary", is_one);
    let both = || canary("true").header("x-user", "ada");
    assert_eq!(client.call(Look::at("ada")).await?, 1);
    assert_eq!(canary("true").await?, 2);
    assert_eq!(both().await?, 3);
    assert_eq!(client.call(Look::at("ada")).await?, 1);
    assert_eq!(canary("false").header("x-canary", "true").await?, 2);
    let turned = client.call(Look::at("ada")).header("x-user", "ada");
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
    let graded = client.call(Charge::of("ada")).graded().await?;
    assert_eq!((graded.reply, graded.grade), (42, Grade::Substitute));
    assert!(graded.grade.is_degraded());
    let wrong = callee.client(table(
        Policy::new().fallback(Fallback::Value(json!("many"))),
    ));
    let error = wrong
        .call(Charge::of("ada"))
        .graded()
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
    let never = client.call(Charge::of("bob")).graded().await;
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
    let declined = client.call(Charge::of("ada")).graded().await;
    assert!(
        matches!(declined, Err(CallError::Rejected(_))),
        "{declined:?}"
    );
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_reply_that_is_not_the_callees_is_for_callers_that_ask_for_it() -> Verdict {
    let callee = Callee::open(at_first_well).await?;
    for fallback in [Fallback::Value(json!(42)), Fallback::LastReply] {
        let policy = Policy::new().fallback(fallback);
        let client = callee.client(table(policy.clone()));
        client.call(Charge::of("ada")).await.ok();
        let plain = client.call(Charge::of("ada")).await;
        let is_error = matches!(plain, Err(CallError::Unavailable { .. }));
        assert!(is_error, "{plain:?}");
        let outcome = client.call(Charge::of("ada")).outcome().await;
        assert!(outcome.is_err(), "{outcome:?}");
        let all = client.call_all([Charge::of("ada")]).await;
        assert!(all[0].is_err(), "{all:?}");
    }
    let text = r#"
        [domains.till]
        fallback = { value = 42 }
        serve = "degraded"
    "#;
    let client = callee.client(Policies::from_toml(text)?);
    assert_eq!(client.call(Charge::of("ada")).await?, 42);
    assert_eq!(client.call(Charge::of("ada")).outcome().await?, Ok(42));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_command_that_changes_something_is_never_answered_from_a_cache() -> Verdict {
    let callee = Callee::open(Act::Reply).await?;
    let cached = Policy::new().cache(Cache::default());
    for misplaced in [
        Policies::new().otherwise(cached.clone()),
        table(cached.clone()),
    ] {
        let refused = misplaced.check().expect_err("it is for all commands");
        let cure = "a cache is for one command that only reads; write it under `[commands.";
        assert!(refused.to_string().contains(cure), "{refused}");
    }
    let client = callee.client(Policies::new().command(Charge::SUBJECT, cached));
    for number in 1..=3 {
        let graded = client.call(Charge::of("ada")).graded().await?;
        assert_eq!((graded.reply, graded.grade), (number, Grade::Fresh));
    }
    assert_eq!(callee.tried(), 3);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_call_whose_id_is_named_is_not_answered_from_a_cache() -> Verdict {
    let callee = Callee::open(Act::Reply).await?;
    let client = callee.client(of_looks(Policy::new().cache(Cache::default())));
    assert_eq!(client.call(Look::at("ada")).await?, 1);
    assert_eq!(client.call(Look::at("ada")).await?, 1);
    assert_eq!(client.call(Look::at("ada")).id(Id::new()).await?, 2);
    assert_eq!(
        client.call(Look::at("ada")).await?,
        1,
        "it is no other's reply"
    );
    Ok(())
}
