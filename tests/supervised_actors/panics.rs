//! The three conditions of good error handling: who caused it gets a 500 with
//! the reason, nobody else notices, the process lives.

use crate::{
    puppet::{A, Act, B, C, Stage, puppet},
    support::way::{Verdict, Way, every_way, past_and_over, until},
};
use callboard::{
    Actor, Answer, Backoff, CallError, Command, Context, Failure, Group, Infallible, NodeError,
    Running, Subject, supervision::Branch,
};
use serde::{Deserialize, Deserializer, Serialize};
use std::{
    error::Error,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

/// Two neighbours in one group and a third in another, all on one thread.
async fn start(way: &Way, stage: &Stage) -> Result<Running, NodeError> {
    let team = Group::new("team")
        .intensity(1_000, Duration::from_secs(1))
        .backoff(Backoff::default().first(Duration::ZERO))
        .child(puppet::<A>("a", stage).handle_within(Duration::from_millis(300)))
        .child(puppet::<B>("b", stage));
    let other = Group::new("other").child(puppet::<C>("c", stage));
    way.node("n").group(team).group(other).start().await
}

fn child(node: &Running, group: usize, at: usize) -> Branch {
    node.tree().groups[group].children[at].clone()
}

/// Whether the call failed with these words in its reason.
fn failed<T, R>(outcome: &Result<T, CallError<R>>, words: &str) -> bool {
    matches!(outcome, Err(CallError::Failed { reason, .. }) if reason.contains(words))
}

#[tokio::test]
async fn a_crash_is_a_500_for_its_caller_and_nobody_else_notices() -> Verdict {
    every_way(async |way| {
        for (act, words) in [
            (Act::Panic, "boom"),
            (Act::PanicLater, "boom"),
            (Act::Crash, "no luck"),
            (Act::Hang, "longer than its 300ms"),
            (Act::HangBadly, "longer than its 300ms"),
        ] {
            crash(way, act, words).await?;
        }
        Ok(())
    })
    .await
}

async fn crash(way: &Way, act: Act, words: &str) -> Verdict {
    let stage = Stage::default();
    let node = start(way, &stage).await?;
    let client = node.client();
    assert_eq!(client.call(A(Act::Count)).await?, 1);
    assert_eq!(client.call(B(Act::Count)).await?, 1);
    let (bad, good, next, beside, apart) = tokio::join!(
        client.call(A(act)),
        client.call(A(Act::Count)),
        client.call(A(Act::Count)),
        client.call(B(Act::Count)),
        client.call(C(Act::Count)),
    );
    assert!(failed(&bad, words), "{act:?}: {bad:?}");
    assert_eq!((good?, next?), (1, 2), "who waits behind {act:?} is served");
    assert_eq!((beside?, apart?), (2, 1), "no neighbour is rebuilt");
    assert_eq!(
        stage.log.lines(),
        ["start a", "start b", "start c", "start a"]
    );
    until("a restart in the tree", async || {
        child(&node, 0, 0).restarts == 1
    })
    .await;
    let [a, b] = [child(&node, 0, 0), child(&node, 0, 1)];
    assert_eq!((a.restarts, b.restarts), (1, 0));
    assert!(a.reason.is_some_and(|reason| reason.contains(words)));
    Ok(node.stop().await?)
}

#[tokio::test]
async fn a_failure_is_a_500_and_the_actor_goes_on_as_it_is() -> Verdict {
    every_way(async |way| {
        let node = start(way, &Stage::default()).await?;
        let client = node.client();
        for act in [Act::Retry, Act::Discard] {
            let outcome = client.call(A(act)).await;
            assert!(failed(&outcome, "no luck"), "{outcome:?}");
        }
        assert_eq!(client.call(A(Act::Count)).await?, 3, "it is the same state");
        assert_eq!(child(&node, 0, 0).restarts, 0);
        Ok(node.stop().await?)
    })
    .await
}

#[tokio::test]
async fn a_hundred_panicking_commands_in_a_row_leave_the_rest_alone() -> Verdict {
    every_way(async |way| {
        let node = start(way, &Stage::default()).await?;
        let client = node.client();
        for _ in 0..100 {
            let outcome = client.call(A(Act::Panic)).await;
            assert!(failed(&outcome, "boom"), "{outcome:?}");
        }
        assert_eq!(client.call(A(Act::Count)).await?, 1);
        assert_eq!(client.call(B(Act::Count)).await?, 1);
        assert_eq!(client.call(C(Act::Count)).await?, 1);
        until("all restarts in the tree", async || {
            child(&node, 0, 0).restarts == 100
        })
        .await;
        Ok(node.stop().await?)
    })
    .await
}

#[tokio::test]
async fn a_panic_in_a_factory_is_tried_again_and_commands_wait() -> Verdict {
    past_and_over(async |way| {
        let stage = Stage::default();
        let node = start(way, &stage).await?;
        let client = node.client();
        stage.panicking.store(2, Ordering::SeqCst);
        stage.failing.store(2, Ordering::SeqCst);
        assert!(failed(&client.call(A(Act::Panic)).await, "boom"));
        assert_eq!(client.call(A(Act::Count)).await?, 1);
        assert_eq!(client.call(B(Act::Count)).await?, 1);
        Ok(node.stop().await?)
    })
    .await
}

#[tokio::test]
async fn a_panic_in_the_drop_of_a_state_harms_nobody() -> Verdict {
    past_and_over(async |way| {
        let stage = Stage::default();
        let node = start(way, &stage).await?;
        let client = node.client();
        stage.dropping.store(1, Ordering::SeqCst);
        assert!(failed(&client.call(A(Act::Panic)).await, "boom"));
        assert_eq!(client.call(A(Act::Count)).await?, 1);
        assert_eq!(client.call(B(Act::Count)).await?, 1);
        stage.dropping.store(3, Ordering::SeqCst);
        node.stop().await?;
        assert_eq!(stage.dropping.load(Ordering::SeqCst), 0);
        Ok(())
    })
    .await
}

/// Ticks, and panics at the first tick of all.
async fn tick(ticks: &mut Arc<AtomicU32>, _: &Context) -> Result<(), Failure> {
    assert!(ticks.fetch_add(1, Ordering::SeqCst) > 0, "a bad start");
    Ok(())
}

async fn panic_at_the_end(_: &mut Arc<AtomicU32>, _: &Context) -> Result<(), Failure> {
    Err(Failure::retry("never seen")).inspect_err(|_| unreachable!("a bad end"))
}

#[tokio::test]
async fn a_panic_in_a_timer_or_at_the_end_is_the_actors_own() -> Verdict {
    let (stage, ticks) = (Stage::default(), Arc::new(AtomicU32::new(0)));
    let own = Arc::clone(&ticks);
    let clock = Actor::new("clock", async move || Ok(Arc::clone(&own)))
        .every(Duration::from_millis(5), tick)
        .on_stop(panic_at_the_end);
    let team = Group::new("team")
        .child(puppet::<A>("a", &stage))
        .child(clock);
    let node = Way::embedded(true).node("n").group(team).start().await?;
    until("ticks after the panic", async || {
        ticks.load(Ordering::SeqCst) > 2
    })
    .await;
    assert_eq!(node.client().call(A(Act::Count)).await?, 1);
    let clock = child(&node, 0, 1);
    assert_eq!(clock.restarts, 1);
    assert_eq!(clock.reason.as_deref(), Some("it panicked: a bad start"));
    node.stop().await?;
    assert_eq!(stage.log.lines(), ["start a", "stop a"]);
    Ok(())
}

/// A command that cannot be decoded, and whose reply cannot be encoded, quietly.
#[derive(Debug, Serialize)]
struct Cursed(bool);

impl<'de> Deserialize<'de> for Cursed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let cursed = bool::deserialize(deserializer)?;
        assert!(!cursed, "a curse");
        Ok(Self(cursed))
    }
}

#[derive(Debug, Deserialize)]
struct Spell;

impl Serialize for Spell {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        unreachable!("a spell")
    }
}

impl Command for Cursed {
    const SUBJECT: Subject = Subject::new("team.cursed");
    type Outcome = Result<Spell, Infallible>;
}

async fn cast(casts: &mut u32, _: Cursed, _: &Context) -> Answer<Cursed> {
    *casts += 1;
    Ok(Spell)
}

#[tokio::test]
async fn a_panic_in_a_types_own_codec_is_its_callers_error() -> Result<(), Box<dyn Error>> {
    for instances in [1, 2] {
        let way = Way::embedded(false);
        let stage = Stage::default();
        let caster = Actor::new("caster", async || Ok(0))
            .answer(cast)
            .instances(instances);
        let team = Group::new("team")
            .child(puppet::<A>("a", &stage))
            .child(caster);
        let node = way.node("n").group(team).start().await?;
        let client = node.client();
        let undecodable = client.call(Cursed(true)).await;
        assert!(
            matches!(undecodable, Err(CallError::Refused { ref reason, .. }) if reason.contains("a curse")),
            "{undecodable:?}"
        );
        let unencodable = client.call(Cursed(false)).await;
        assert!(failed(&unencodable, "a spell"), "{unencodable:?}");
        assert_eq!(client.call(A(Act::Count)).await?, 1);
        assert_eq!(child(&node, 0, 1).restarts, 0);
        node.stop().await?;
    }
    Ok(())
}
