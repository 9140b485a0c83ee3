//! Panics beside the handler: the engine's own part of a turn.

use crate::support::way::{Verdict, Way, until};
use callboard::{
    Actor, Answer, Backoff, CallError, Command, Context, Failure, Group, Rejection, Subject,
};
use serde::{Deserialize, Serialize};
use std::{fmt, time::Duration};

#[derive(Debug, Serialize, Deserialize)]
struct Say(bool);

impl Command for Say {
    const SUBJECT: Subject = Subject::new("stage.say");
    type Outcome = Result<u32, Unsayable>;
}

/// A "no" that panics when it is put into words.
#[derive(Debug, Serialize, Deserialize)]
struct Unsayable;

impl fmt::Display for Unsayable {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        unreachable!("no words")
    }
}

impl std::error::Error for Unsayable {}
impl Rejection for Unsayable {}

async fn say(said: &mut u32, say: Say, _: &Context) -> Answer<Say> {
    *said += 1;
    if say.0 {
        Ok(*said)
    } else {
        Err(Unsayable.into())
    }
}

#[tokio::test]
async fn a_panic_while_an_answer_is_written_restarts_its_actor() -> Verdict {
    let way = Way::embedded(false);
    let actor = Actor::new("actor", async || Ok::<_, Failure>(0)).answer(say);
    let group = Group::new("stage")
        .backoff(Backoff::default().first(Duration::ZERO))
        .child(actor);
    let node = way.node("n").group(group).start().await?;
    let client = node.client();
    assert_eq!(client.call(Say(true)).await.ok(), Some(1));
    let unsaid = client.call(Say(false)).timeout(Duration::from_millis(300));
    let unsaid = unsaid.await;
    assert!(
        matches!(
            unsaid,
            Err(CallError::Failed { .. } | CallError::Timeout { .. })
        ),
        "it may have been run"
    );
    until("a restart in the tree", async || {
        node.tree().groups[0].children[0].restarts == 1
    })
    .await;
    assert_eq!(client.call(Say(true)).await.ok(), Some(1), "a new state");
    let reason = node.tree().groups[0].children[0].reason.clone();
    assert!(reason.is_some_and(|reason| reason.contains("no words")));
    Ok(node.stop().await?)
}
