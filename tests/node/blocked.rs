//! Handlers that never come back.

use crate::support::way::{Verdict, Way, until};
use callboard::{
    Actor, Answer, CallError, Command, Context, Decision, Entity, Event, Failure, Group,
    Infallible, NodeError, Refusal, Subject,
};
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, time::Duration};
use tokio::time::timeout;

const SHORT: Duration = Duration::from_millis(100);

/// Blocks the thread of who answers it, for good.
#[derive(Debug, Serialize, Deserialize)]
struct Block;

impl Command for Block {
    const SUBJECT: Subject = Subject::new("mill.block");
    type Outcome = Result<(), Infallible>;
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Grind;

impl Command for Grind {
    const SUBJECT: Subject = Subject::new("stone.grind");
    type Outcome = Result<(), Infallible>;

    fn key(&self) -> Cow<'_, str> {
        "one".into()
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Ground;

impl Event for Ground {
    const SUBJECT: Subject = Subject::new("stone.ground");

    fn key(&self) -> Cow<'_, str> {
        "one".into()
    }
}

fn mill() -> Group {
    let block = async |(): &mut (), _: Block, _: &Context| -> Answer<Block> {
        loop {
            std::thread::park();
        }
    };
    let mill = Actor::new("mill", async || Ok::<_, Failure>(())).stop_within(SHORT);
    Group::new("mill").child(mill.answer(block))
}

fn idle() -> Group {
    let idle = Actor::new("idle", async || Ok::<_, Failure>(()));
    Group::new("idle").child(idle.stop_within(SHORT))
}

async fn stop(way: &Way, threads: usize) -> Result<(), NodeError> {
    let node = way.node("n").threads(threads).drain_within(SHORT);
    let node = node.group(idle()).group(mill()).start().await?;
    let client = way.client();
    let asked = client.call(Block).timeout(SHORT).await;
    assert!(asked.is_err(), "nobody answers: {asked:?}");
    timeout(Duration::from_secs(30), node.stop())
        .await
        .expect("it ends whatever its handlers do")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_stops_although_a_handler_blocks_the_thread_of_its_group() -> Verdict {
    Ok(stop(&Way::embedded(false), 2).await?)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_ends_and_says_why_although_a_handler_blocks_its_only_thread() -> Verdict {
    let stopped = stop(&Way::embedded(false), 1).await;
    let Err(NodeError::Thread { reason }) = stopped else {
        panic!("its thread is blocked: {stopped:?}");
    };
    assert!(reason.contains("blocked by a handler"), "{reason}");
    Ok(())
}

/// What comes before its decision never ends.
fn stone() -> Group {
    let entity = Entity::new("stone", || ())
        .decide_with(
            async |_: &Grind, _: &Context| -> Result<(), Refusal<Infallible>> {
                std::future::pending().await
            },
            |(): &(), _: Grind, ()| Ok(Decision::of(Ground)),
        )
        .ignore::<Ground>();
    Group::new("stone").child(entity)
}

async fn cut_off(prefer_local: bool) -> Verdict {
    let way = Way::embedded(prefer_local);
    let node = way.node("n").drain_within(SHORT);
    let node = node.group(stone()).start().await?;
    let client = node.client();
    let asking = async { client.call(Grind).timeout(Duration::from_mins(1)).await };
    let stopping = async {
        until("the command in hand", async || {
            node.tree().groups[0].children[0].mailbox > Some(0)
        })
        .await;
        node.stop().await
    };
    let (asked, stopped) = tokio::join!(asking, stopping);
    stopped?;
    let Err(error @ CallError::Failed { .. }) = asked else {
        unreachable!("local: {prefer_local}, it was cut off: {asked:?}");
    };
    assert!(!error.certainly_not_run(), "{error}");
    Ok(())
}

#[tokio::test]
async fn what_is_cut_off_while_it_is_worked_on_is_never_told_as_not_run() -> Verdict {
    let (past, over) = tokio::join!(cut_off(true), cut_off(false));
    past.and(over)
}
