//! How groups start and stop: in order, with a last word, and in time.

use crate::{
    puppet::{A, Act, B, C, Stage, puppet},
    support::{
        log::Log,
        way::{SOON, Verdict, Way, past_and_over},
    },
};
use callboard::{Actor, Context, Failure, Group};
use std::{future::pending, time::Duration};
use tokio::time::timeout;

const SHORT: Duration = Duration::from_millis(100);

fn left(stage: &Stage) -> Group {
    let inner = Group::new("inner").child(puppet::<B>("b", stage));
    Group::new("left")
        .child(puppet::<A>("a", stage))
        .child(inner)
}

fn right(stage: &Stage) -> Group {
    Group::new("right").child(puppet::<C>("c", stage))
}

#[tokio::test]
async fn trees_start_left_to_right_and_stop_right_to_left() -> Verdict {
    for threads in [1, 2] {
        let stage = Stage::default();
        let node = Way::embedded(true).node("n").threads(threads);
        let node = node
            .group(left(&stage))
            .group(right(&stage))
            .start()
            .await?;
        node.stop().await?;
        let lines = stage.log.lines();
        assert_eq!(
            lines,
            [
                "start a", "start b", "start c", "stop c", "stop b", "stop a"
            ]
        );
    }
    Ok(())
}

#[tokio::test]
async fn groups_on_several_threads_answer_and_crash_alone() -> Verdict {
    past_and_over(async |way| {
        let stage = Stage::default();
        let node = way.node("n").threads(2);
        let node = node
            .group(left(&stage))
            .group(right(&stage))
            .start()
            .await?;
        let client = node.client();
        client.call(C(Act::Panic)).await.expect_err("it panics");
        assert_eq!(client.call(C(Act::Count)).await?, 1);
        assert_eq!(client.call(A(Act::Count)).await?, 1);
        assert_eq!(client.call(B(Act::Count)).await?, 1);
        Ok(node.stop().await?)
    })
    .await
}

async fn hang(log: &mut Log, _: &Context) -> Result<(), Failure> {
    log.note("hang");
    pending().await
}

async fn leave(_: &mut Log, ctx: &Context) -> Result<(), Failure> {
    ctx.stop();
    Ok(())
}

/// An actor whose last handler never ends.
fn hanging(log: &Log) -> Actor<Log> {
    let log = log.clone();
    Actor::new("hanging", async move || {
        log.note("start hanging");
        Ok(log.clone())
    })
    .on_stop(hang)
    .stop_within(SHORT)
}

#[tokio::test]
async fn a_last_word_that_never_ends_is_cut_off() -> Verdict {
    let stage = Stage::default();
    let group = Group::new("team")
        .child(puppet::<A>("a", &stage))
        .child(hanging(&stage.log));
    let node = Way::embedded(true).node("n").group(group).start().await?;
    timeout(SOON, node.stop()).await??;
    assert_eq!(
        stage.log.lines(),
        ["start a", "start hanging", "hang", "stop a"]
    );
    Ok(())
}

#[tokio::test]
async fn an_actor_that_leaves_is_not_held_up_by_its_last_word() -> Verdict {
    let log = Log::default();
    let leaving = hanging(&log).every(Duration::from_millis(20), leave);
    let node = Way::embedded(true)
        .node("n")
        .group(Group::new("team").child(leaving))
        .start()
        .await?;
    let lines = log.of(3).await;
    assert_eq!(lines[..3], ["start hanging", "hang", "start hanging"]);
    timeout(SOON, node.stop()).await??;
    Ok(())
}

#[tokio::test]
async fn a_handler_at_work_is_waited_for_then_cut_off() -> Verdict {
    past_and_over(async |way| {
        let stage = Stage::default();
        let node = way.node("n").drain_within(SOON);
        let node = node.group(left(&stage)).start().await?;
        let client = node.client();
        let call = async {
            let answered = client.call(A(Act::Wait)).await;
            stage.log.note("answered");
            answered
        };
        let stop = async {
            stage.log.of(3).await;
            let opened = async {
                stage.gate.add_permits(1);
                Ok(())
            };
            tokio::try_join!(node.stop(), opened)
        };
        let (answered, stopped) = tokio::join!(call, stop);
        stopped?;
        assert_eq!(answered?, 1);
        let lines = stage.log.lines();
        assert_eq!(lines[..3], ["start a", "start b", "wait a"]);
        assert!(
            stage.log.count("stop a") == 1 && stage.log.count("answered") == 1,
            "{lines:?}"
        );
        Ok(())
    })
    .await
}
