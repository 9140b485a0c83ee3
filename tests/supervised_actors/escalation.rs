//! Too many restarts: the group gives up, its parent restarts it, and at last
//! the node ends.

use crate::{
    puppet::{A, Act, B, C, Stage, puppet},
    support::way::{SOON, Verdict, Way, until},
};
use callboard::{
    Actor, Answer, Backoff, CallError, Client, Command, Context, Group, Infallible, NodeError,
    Strategy, Subject,
};
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, error::Error, future::pending, sync::atomic::Ordering, time::Duration};
use tokio::time::timeout;

const MINUTE: Duration = Duration::from_mins(1);

fn quick() -> Backoff {
    Backoff::default().first(Duration::ZERO)
}

/// `outer` holds `a` and `inner`; `inner` holds `b` and `c`, and bears one restart.
fn nested(stage: &Stage, bears: u32) -> Group {
    let inner = Group::new("inner")
        .intensity(1, MINUTE)
        .backoff(quick())
        .child(puppet::<B>("b", stage))
        .child(puppet::<C>("c", stage));
    Group::new("outer")
        .intensity(bears, MINUTE)
        .backoff(quick())
        .child(puppet::<A>("a", stage))
        .child(inner)
}

async fn panic_b(client: &Client) {
    client.call(B(Act::Panic)).await.expect_err("it panics");
}

#[tokio::test]
async fn a_group_that_gives_up_is_restarted_by_its_parent() -> Verdict {
    let stage = Stage::default();
    let node = Way::embedded(true)
        .node("n")
        .group(nested(&stage, 5))
        .start()
        .await?;
    let client = node.client();
    assert_eq!(client.call(A(Act::Count)).await?, 1);
    stage.log.clear();
    panic_b(&client).await;
    assert_eq!(client.call(C(Act::Count)).await?, 1);
    panic_b(&client).await;
    assert_eq!(
        client.call(B(Act::Count)).await?,
        1,
        "it waits for the new start"
    );
    assert_eq!(
        client.call(C(Act::Count)).await?,
        1,
        "c is rebuilt with its group"
    );
    assert_eq!(client.call(A(Act::Count)).await?, 2, "a is not");
    assert_eq!(
        stage.log.lines(),
        ["start b", "stop c", "start b", "start c"]
    );
    let outer = node.tree().groups[0].clone();
    assert_eq!((outer.restarts, outer.children[1].restarts), (0, 1));
    let reason = outer.children[1].reason.clone().unwrap_or_default();
    assert!(
        reason.contains("`outer/inner/b`") && reason.contains("boom"),
        "{reason}"
    );
    Ok(node.stop().await?)
}

#[tokio::test]
async fn what_nobody_can_bear_ends_the_node() -> Verdict {
    let stage = Stage::default();
    let mut node = Way::embedded(true)
        .node("n")
        .intensity(1, MINUTE)
        .group(nested(&stage, 1))
        .start()
        .await?;
    let client = node.client();
    // Inner bears 1, outer bears 1 of inner, the node bears 1 of outer: 8 are too many.
    for _ in 0..8 {
        client.call(A(Act::Count)).await?;
        panic_b(&client).await;
    }
    let waiting = client.call(B(Act::Count)).await;
    assert!(
        matches!(waiting, Err(CallError::Unavailable { .. })),
        "not lost: {waiting:?}"
    );
    timeout(SOON, node.ended()).await?;
    let end = node.stop().await;
    let Err(NodeError::GaveUp { reason }) = end else {
        return Err(format!("it ended with {end:?}").into());
    };
    for fact in ["`outer`", "`outer/inner`", "`outer/inner/b`", "boom"] {
        assert!(reason.contains(fact), "{reason}");
    }
    Ok(())
}

#[tokio::test]
async fn a_node_that_gives_up_ends_its_run() -> Verdict {
    let stage = Stage::default();
    let ticking = puppet::<A>("a", &stage).every(Duration::from_millis(5), crash);
    let group = Group::new("team").intensity(0, MINUTE).child(ticking);
    let node = Way::embedded(true)
        .node("n")
        .intensity(0, MINUTE)
        .group(group);
    let end = timeout(SOON, node.run_until(pending::<()>())).await?;
    assert!(matches!(end, Err(NodeError::GaveUp { .. })), "{end:?}");
    Ok(())
}

async fn crash(_: &mut crate::puppet::Puppet, _: &Context) -> Result<(), callboard::Failure> {
    Err(callboard::Failure::crash("no luck"))
}

#[tokio::test]
async fn a_child_that_does_not_start_is_named_and_nothing_is_left() -> Verdict {
    for (failing, panicking, words) in [
        (1, 0, "`the door` is locked"),
        (0, 1, "it panicked: no start"),
    ] {
        let stage = Stage::default();
        let good = Group::new("good").child(puppet::<C>("c", &stage));
        let inner = Group::new("inner").child(Actor::new("late", {
            let stage = stage.clone();
            async move || {
                stage.failing.store(failing, Ordering::SeqCst);
                stage.panicking.store(panicking, Ordering::SeqCst);
                Ok(())
            }
        }));
        let bad = Group::new("bad")
            .child(inner)
            .child(puppet::<B>("b", &stage));
        let way = Way::embedded(true);
        let refused = way.node("n").group(good).group(bad).start().await;
        let Err(NodeError::Start { reason }) = refused else {
            return Err(format!("it started: {refused:?}").into());
        };
        assert!(
            reason.contains("`bad/b`") && reason.contains(words),
            "{reason}"
        );
        until("the good one's end", async || {
            stage.log.count("stop c") == 1
        })
        .await;
        way.node("n").start().await?.stop().await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_factory_that_hangs_is_given_up() -> Verdict {
    let slow = Actor::new("slow", async || pending().await)
        .start_within(Duration::from_millis(50))
        .every(MINUTE, async |(): &mut (), _: &Context| Ok(()));
    let refused = Way::embedded(true)
        .node("n")
        .group(Group::new("team").child(slow))
        .start()
        .await;
    let text = refused.expect_err("it does not start").to_string();
    assert!(
        text.contains("`team/slow` did not start") && text.contains("50ms"),
        "{text}"
    );
    Ok(())
}

/// A command for one of many.
#[derive(Debug, Serialize, Deserialize)]
struct Each {
    key: String,
    fatal: bool,
}

impl Command for Each {
    const SUBJECT: Subject = Subject::new("crowd.each");
    type Outcome = Result<(), Infallible>;

    fn key(&self) -> Cow<'_, str> {
        (&self.key).into()
    }
}

async fn each((): &mut (), each: Each, _: &Context) -> Answer<Each> {
    assert!(!each.fatal, "one of many");
    Ok(())
}

#[tokio::test]
async fn a_crowd_that_crashes_at_once_comes_back() -> Result<(), Box<dyn Error>> {
    let one = Actor::new("one", async || Ok(()))
        .answer(each)
        .instances(150);
    let crowd = Group::new("crowd")
        .strategy(Strategy::OneForAll)
        .intensity(10_000, MINUTE)
        .backoff(quick())
        .child(one);
    let node = Way::embedded(true).node("n").group(crowd).start().await?;
    let client = node.client();
    for number in 0..600 {
        client
            .tell(Each { key: number.to_string(), fatal: true })
            .await?;
    }
    for number in 0..600 {
        let each = Each { key: number.to_string(), fatal: false };
        client.call(each).timeout(SOON).await?;
    }
    Ok(node.stop().await?)
}
