//! Who is restarted with whom, in which order, and who stays away.

use crate::{
    puppet::{A, Act, B, C, Stage, puppet},
    support::way::{Verdict, Way, past_and_over, until},
};
use callboard::{
    Backoff, CallError, Group, Restart, Running, Strategy,
    supervision::{Branch, State},
};
use std::{sync::atomic::Ordering, time::Duration};
use tokio::time::Instant;

fn team(stage: &Stage) -> Group {
    Group::new("team")
        .backoff(Backoff::default().first(Duration::ZERO))
        .child(puppet::<A>("a", stage))
        .child(puppet::<B>("b", stage))
        .child(puppet::<C>("c", stage))
}

fn children(node: &Running) -> Vec<Branch> {
    node.tree().groups[0].children.clone()
}

/// Crashes `b` and returns what was started and stopped then.
async fn crash_b(
    strategy: Strategy,
    failing: u32,
    lines: usize,
) -> Result<Vec<String>, Box<dyn std::error::Error>> {
    let stage = Stage::default();
    let node = Way::embedded(true)
        .node("n")
        .group(team(&stage).strategy(strategy))
        .start()
        .await?;
    let client = node.client();
    client.call(A(Act::Count)).await?;
    stage.log.clear();
    stage.failing.store(failing, Ordering::SeqCst);
    client.call(B(Act::Panic)).await.expect_err("it panics");
    let lines = stage.log.of(lines).await;
    assert_eq!(client.call(C(Act::Count)).await?, 1);
    assert_eq!(client.call(B(Act::Count)).await?, 1);
    let kept = client.call(A(Act::Count)).await?;
    assert_eq!(
        kept,
        if strategy == Strategy::OneForAll {
            1
        } else {
            2
        }
    );
    assert_eq!(stage.log.lines(), lines, "nothing follows");
    node.stop().await?;
    Ok(lines)
}

#[tokio::test]
async fn one_for_one_restarts_the_one() -> Verdict {
    assert_eq!(crash_b(Strategy::OneForOne, 0, 1).await?, ["start b"]);
    Ok(())
}

#[tokio::test]
async fn one_for_all_stops_right_to_left_and_starts_left_to_right() -> Verdict {
    let lines = crash_b(Strategy::OneForAll, 0, 5).await?;
    assert_eq!(lines, ["stop c", "stop a", "start a", "start b", "start c"]);
    Ok(())
}

#[tokio::test]
async fn rest_for_one_restarts_those_to_the_right() -> Verdict {
    let lines = crash_b(Strategy::RestForOne, 0, 3).await?;
    assert_eq!(lines, ["stop c", "start b", "start c"]);
    Ok(())
}

#[tokio::test]
async fn a_restart_that_fails_begins_again_in_order() -> Verdict {
    let lines = crash_b(Strategy::OneForAll, 1, 6).await?;
    assert_eq!(
        lines,
        [
            "stop c", "stop a", "fail a", "start a", "start b", "start c"
        ]
    );
    let lines = crash_b(Strategy::RestForOne, 2, 5).await?;
    assert_eq!(lines, ["stop c", "fail b", "fail b", "start b", "start c"]);
    Ok(())
}

#[tokio::test]
async fn who_leaves_comes_back_as_its_restart_type_says() -> Verdict {
    past_and_over(async |way| {
        let stage = Stage::default();
        let quick = Backoff::default().first(Duration::ZERO);
        let group = Group::new("team")
            .backoff(quick)
            .child(puppet::<A>("a", &stage).restart(Restart::Permanent))
            .child(puppet::<B>("b", &stage).restart(Restart::Transient))
            .child(puppet::<C>("c", &stage).restart(Restart::Temporary));
        let node = way.node("n").group(group).start().await?;
        let client = node.client();
        stage.log.clear();

        assert_eq!(client.call(A(Act::Stop)).await?, 1);
        assert_eq!(
            client.call(A(Act::Count)).await?,
            1,
            "permanent: back after leaving"
        );
        client.call(B(Act::Panic)).await.expect_err("it panics");
        assert_eq!(
            client.call(B(Act::Count)).await?,
            1,
            "transient: back after a crash"
        );
        assert_eq!(client.call(B(Act::Stop)).await?, 2);
        client.call(C(Act::Panic)).await.expect_err("it panics");
        until("transient and temporary gone", async || {
            children(&node)[1..]
                .iter()
                .all(|child| child.state == State::Stopped)
        })
        .await;
        for gone in [
            client.call(B(Act::Count)).await,
            client.call(C(Act::Count)).await,
        ] {
            assert!(
                matches!(gone, Err(CallError::Unavailable { .. })),
                "{gone:?}"
            );
        }
        assert_eq!(client.call(A(Act::Count)).await?, 2);
        assert_eq!(
            stage.log.lines(),
            ["stop a", "start a", "start b", "stop b"]
        );
        let restarts: Vec<_> = children(&node).iter().map(|child| child.restarts).collect();
        assert_eq!(restarts, [1, 1, 0]);
        Ok(node.stop().await?)
    })
    .await
}

#[tokio::test]
async fn a_second_restart_waits_and_so_do_its_commands() -> Verdict {
    past_and_over(async |way| {
        let stage = Stage::default();
        let slow = Backoff::default().first(Duration::from_millis(400));
        let group = Group::new("team")
            .backoff(slow)
            .child(puppet::<A>("a", &stage));
        let node = way.node("n").group(group).start().await?;
        let client = node.client();
        client.call(A(Act::Panic)).await.expect_err("it panics");
        client
            .call(A(Act::Panic))
            .await
            .expect_err("it panics again");
        let before = Instant::now();
        assert_eq!(client.call(A(Act::Count)).await?, 1);
        assert!(
            before.elapsed() >= Duration::from_millis(150),
            "{:?}",
            before.elapsed()
        );
        Ok(node.stop().await?)
    })
    .await
}
