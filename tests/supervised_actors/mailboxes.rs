//! What waits in a mailbox: it survives restarts, it is bounded, and nothing in
//! it is lost silently.

use crate::{
    puppet::{A, Act, B, Stage, puppet},
    support::way::{SOON, Verdict, every_way, until},
};
use callboard::{
    Actor, Answer, Backoff, CallError, Command, Context, Failure, Group, Infallible, Replay,
    Subject,
};
use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tokio::time::{sleep, timeout};

fn quick() -> Backoff {
    Backoff::default().first(Duration::ZERO)
}

#[tokio::test]
async fn queued_commands_survive_a_restart() -> Verdict {
    every_way(async |way| {
        let stage = Stage::default();
        let group = Group::new("team")
            .backoff(quick())
            .child(puppet::<A>("a", &stage));
        let node = way.node("n").group(group).start().await?;
        let client = node.client();
        let acts = [
            Act::Wait,
            Act::Panic,
            Act::Count,
            Act::Count,
            Act::Crash,
            Act::Count,
        ];
        let calls = join_all(acts.map(|act| client.call(A(act)).into_future()));
        let open = async {
            until("five waiting", async || {
                node.tree().groups[0].children[0].mailbox == Some(6)
            })
            .await;
            stage.gate.add_permits(1);
        };
        let (outcomes, ()) = tokio::join!(calls, open);
        let seen: Vec<_> = outcomes
            .iter()
            .map(|outcome| outcome.as_ref().ok().copied())
            .collect();
        assert_eq!(seen, [Some(1), None, Some(1), Some(2), None, Some(1)]);
        until("two restarts", async || {
            node.tree().groups[0].children[0].restarts == 2
        })
        .await;
        Ok(node.stop().await?)
    })
    .await
}

#[tokio::test]
async fn a_full_mailbox_answers_503_at_once_and_serves_what_it_took() -> Verdict {
    every_way(async |way| {
        let stage = Stage::default();
        let group = Group::new("team")
            .child(puppet::<A>("a", &stage).mailbox(3))
            .child(puppet::<B>("b", &stage));
        let node = way.node("n").group(group).start().await?;
        let client = node.client();
        let first = client.call(A(Act::Wait)).into_future();
        let rest = async {
            stage.log.of(3).await;
            let calls = (0..9).map(|_| client.call(A(Act::Wait)).into_future());
            let opened = async {
                until("a full mailbox", async || node.tree().groups[0].children[0].mailbox == Some(3)).await;
                // The others are refused while nothing moves.
                let refused = client.call(A(Act::Wait)).timeout(SOON).await;
                assert_eq!(client.call(B(Act::Count)).await?, 1, "the neighbour is free");
                stage.gate.add_permits(1);
                Ok::<_, CallError<Infallible>>(refused)
            };
            tokio::join!(join_all(calls), opened)
        };
        let (first, (outcomes, refused)) = tokio::join!(first, rest);
        assert_eq!(first?, 1);
        let (served, turned_away): (Vec<_>, Vec<_>) = outcomes.into_iter().chain([refused?]).partition(Result::is_ok);
        assert_eq!((served.len(), turned_away.len()), (2, 8));
        for outcome in turned_away {
            assert!(
                matches!(&outcome, Err(CallError::Unavailable { reason, .. }) if reason.contains("full with 3")),
                "{outcome:?}"
            );
        }
        Ok(node.stop().await?)
    })
    .await
}

#[tokio::test]
async fn a_hanging_handler_is_cut_off_and_the_next_message_served() -> Verdict {
    every_way(async |way| {
        let stage = Stage::default();
        let short = puppet::<A>("a", &stage).handle_within(Duration::from_millis(100));
        let group = Group::new("team").backoff(quick()).child(short);
        let node = way.node("n").group(group).start().await?;
        let client = node.client();
        let (hung, next) = tokio::join!(client.call(A(Act::Hang)), client.call(A(Act::Count)));
        assert!(
            matches!(&hung, Err(CallError::Failed { reason, .. }) if reason.contains("longer than its 100ms")),
            "{hung:?}"
        );
        assert_eq!(next?, 1);
        Ok(node.stop().await?)
    })
    .await
}

#[tokio::test]
async fn what_is_left_in_a_mailbox_when_the_node_stops_is_answered() -> Verdict {
    every_way(async |way| {
        let stage = Stage::default();
        let stubborn = puppet::<A>("a", &stage).stop_within(Duration::from_millis(100));
        let node = way
            .node("n")
            .drain_within(Duration::from_millis(200))
            .group(Group::new("team").child(stubborn))
            .start()
            .await?;
        let client = node.client();
        let hung = client.call(A(Act::Hang)).into_future();
        let waiting = join_all((0..20).map(|_| client.call(A(Act::Count)).into_future()));
        let stop = async {
            until("all at hand", async || {
                node.tree().groups[0].children[0].mailbox == Some(21)
            })
            .await;
            timeout(SOON, node.stop()).await
        };
        let (hung, waiting, stopped) = tokio::join!(hung, waiting, stop);
        stopped??;
        assert!(
            matches!(&hung, Err(CallError::Failed { reason, .. }) if reason.contains("cut off")),
            "{hung:?}"
        );
        for outcome in waiting {
            assert!(
                matches!(outcome, Err(CallError::Unavailable { .. })),
                "{outcome:?}"
            );
        }
        Ok(())
    })
    .await
}

#[derive(Debug, Serialize, Deserialize)]
struct Count;

impl Command for Count {
    const SUBJECT: Subject = Subject::new("clock.count");
    type Outcome = Result<u32, Infallible>;
}

async fn slow_tick(ticks: &mut u32, _: &Context) -> Result<(), Failure> {
    sleep(Duration::from_secs(3)).await;
    *ticks += 1;
    Ok(())
}

async fn count(ticks: &mut u32, _: Count, _: &Context) -> Answer<Count> {
    Ok(*ticks)
}

#[tokio::test]
async fn ticks_do_not_pile_up() -> Verdict {
    let clock = Actor::new("clock", async || Ok(0))
        .every(Duration::from_secs(2), slow_tick)
        .answer(count);
    let mut heard = Replay::of(Group::new("clock").child(clock))
        .after(Duration::from_mins(20))
        .ask(Count)
        .settle()
        .await?;
    let ticks = heard.answers::<Count>().remove(0)?;
    assert!(
        (295..=301).contains(&ticks),
        "every second one of 600 is skipped: {ticks}"
    );
    Ok(())
}
