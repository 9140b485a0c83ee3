//! One place decides about retries: no retry inside a retry.

use crate::{
    callee::{Verdict, ms},
    support::way::past_and_over,
};
use callboard::{
    Actor, Answer, Command, Context, Failure, Group, Infallible, Subject,
    policy::{Budget, Policies, Policy, Retry},
};
use serde::{Deserialize, Serialize};
use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

#[derive(Debug, Serialize, Deserialize)]
struct Outer;

impl Command for Outer {
    const SUBJECT: Subject = Subject::new("outer.ask");
    type Outcome = Result<(), Infallible>;
}

#[derive(Debug, Serialize, Deserialize)]
struct Inner;

impl Command for Inner {
    const SUBJECT: Subject = Subject::new("inner.ask");
    type Outcome = Result<(), Infallible>;
}

async fn outer((): &mut (), _: Outer, ctx: &Context) -> Answer<Outer> {
    Ok(ctx.call(Inner).await?)
}

#[derive(Debug, Serialize, Deserialize)]
struct Between;

impl Command for Between {
    const SUBJECT: Subject = Subject::new("between.ask");
    type Outcome = Result<(), Infallible>;
}

async fn between((): &mut (), _: Between, ctx: &Context) -> Answer<Between> {
    Ok(ctx.call(Inner).await?)
}

async fn far((): &mut (), _: Outer, ctx: &Context) -> Answer<Outer> {
    Ok(ctx.call(Between).await?)
}

async fn inner(count: &mut Arc<AtomicU32>, _: Inner, _: &Context) -> Answer<Inner> {
    count.fetch_add(1, Ordering::Relaxed);
    Err(Failure::retry("it never works").into())
}

#[tokio::test]
async fn what_follows_from_another_attempt_is_tried_once() -> Verdict {
    past_and_over(async |way| {
        let count = Arc::new(AtomicU32::new(0));
        let own = Arc::clone(&count);
        let inner = Actor::new("inner", async move || Ok(Arc::clone(&own))).answer(inner);
        let outer = Actor::new("outer", async || Ok(())).answer(outer);
        let retry = Retry::new(3)
            .backoff(ms(1), ms(1))
            .budget(Budget::new(1.0).per_second(1_000.0));
        let node = way
            .node("one")
            .group(Group::new("inner").child(inner))
            .group(Group::new("outer").child(outer))
            .policies(Policies::new().otherwise(Policy::new().retry(retry).idempotent()))
            .start()
            .await?;
        node.client().call(Outer).await.expect_err("it never works");
        assert_eq!(
            count.load(Ordering::Relaxed),
            3 + 1 + 1,
            "not three times three"
        );
        Ok(node.stop().await?)
    })
    .await
}

#[tokio::test]
async fn nor_is_what_follows_from_it_further_down_tried_more_than_once() -> Verdict {
    past_and_over(async |way| {
        let count = Arc::new(AtomicU32::new(0));
        let own = Arc::clone(&count);
        let inner = Actor::new("inner", async move || Ok(Arc::clone(&own))).answer(inner);
        let between = Actor::new("between", async || Ok(())).answer(between);
        let outer = Actor::new("outer", async || Ok(())).answer(far);
        let retry = Retry::new(3)
            .backoff(ms(1), ms(1))
            .budget(Budget::new(1.0).per_second(1_000.0));
        // The one in the middle is called without any policy.
        let policy = Policy::new().retry(retry).idempotent();
        let policies = Policies::new()
            .domain("inner", policy.clone())
            .domain("outer", policy);
        let node = way
            .node("one")
            .group(Group::new("inner").child(inner))
            .group(Group::new("between").child(between))
            .group(Group::new("outer").child(outer))
            .policies(policies)
            .start()
            .await?;
        node.client().call(Outer).await.expect_err("it never works");
        assert_eq!(count.load(Ordering::Relaxed), 3 + 1 + 1);
        Ok(node.stop().await?)
    })
    .await
}
