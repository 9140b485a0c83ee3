//! Starting and stopping inside any program, and draining.

use crate::{
    farm::{Farm, Panic, Sown, Wait, Who},
    support::{
        log::Log,
        way::{SOON, Verdict, Way, both_buses, every_way, until},
    },
};
use callboard::{
    Bus, CallError, Node, NodeError,
    bus::Message,
    message::codec,
    supervision::{State, Tree},
};
use std::time::Duration;
use tokio::{
    sync::oneshot,
    time::{Instant, timeout},
};

/// Starts, uses and stops nodes in the program around this.
async fn live() -> Verdict {
    for way in [Way::embedded(true), Way::nats(true).await?] {
        let log = Log::default();
        let farm = Farm::new("one", &log);
        let node = way.node("n").group(farm.group("farm")).start().await?;
        assert_eq!(node.client().call(Who).await?, "one");
        node.stop().await?;
        assert_eq!(log.lines(), ["stop one"]);

        let node = way.node("n").group(farm.group("farm"));
        let client = way.client();
        let (finish, finished) = oneshot::channel::<()>();
        let work = async {
            until("the farm", async || client.call(Who).await.is_ok()).await;
            finish.send(())
        };
        let (end, sent) = tokio::join!(timeout(SOON, node.run_until(finished)), work);
        end??;
        assert_eq!(sent, Ok(()));
        let gone = client.call(Who).await;
        assert!(
            matches!(gone, Err(CallError::NoResponders { .. })),
            "{gone:?}"
        );
        assert_eq!(log.count("stop one"), 2);
    }
    Ok(())
}

#[tokio::test]
async fn a_node_lives_in_a_program_of_one_thread() -> Verdict {
    live().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_lives_in_a_program_of_many_threads() -> Verdict {
    live().await
}

#[tokio::test]
async fn a_node_without_groups_runs_and_stops() -> Result<(), NodeError> {
    Node::new("empty", Bus::embedded())
        .run_until(async {})
        .await
}

#[tokio::test]
async fn a_start_that_is_given_up_leaves_nothing_running() -> Verdict {
    let (way, log) = (Way::embedded(true), Log::default());
    let start = way
        .node("n")
        .group(Farm::new("one", &log).group("farm"))
        .start();
    drop(timeout(Duration::from_micros(1), start).await);
    until("a free name", async || match way.node("n").start().await {
        Ok(node) => node.stop().await.is_ok(),
        Err(_) => false,
    })
    .await;
    let gone = way.client().call(Who).await;
    assert!(
        matches!(gone, Err(CallError::NoResponders { .. })),
        "{gone:?}"
    );
    Ok(())
}

#[tokio::test]
async fn commands_in_flight_are_answered_before_a_node_stops() -> Verdict {
    every_way(async |way| {
        let log = Log::default();
        let farm = Farm::closed("one", &log);
        let node = way.node("n").group(farm.group("farm")).start().await?;
        let (client, outside) = (node.client(), way.client());
        let stop = async {
            until("both calls", async || {
                node.tree().groups[0].children[0].mailbox == Some(2)
            })
            .await;
            let opened = async {
                until("closed doors", async || {
                    matches!(outside.call(Who).await, Err(CallError::NoResponders { .. }))
                })
                .await;
                farm.gate.add_permits(1);
            };
            tokio::join!(timeout(SOON, node.stop()), opened).0
        };
        let (first, second, stopped) = tokio::join!(
            client.call(Wait).timeout(SOON),
            client.call(Wait).timeout(SOON),
            stop
        );
        stopped??;
        first?;
        second?;
        assert_eq!(log.lines(), ["wait", "wait", "stop one"]);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn events_in_flight_are_finished_and_the_rest_handed_over() -> Verdict {
    both_buses(async |way| {
        let log = Log::default();
        let farm = Farm::closed("one", &log);
        let node = way.node("first").group(farm.group("farm")).start().await?;
        let client = node.client();
        for number in 0..10 {
            client
                .publish(Sown { field: "a".to_owned(), number })
                .await?;
        }
        log.of(1).await;
        let opened = async { farm.gate.add_permits(1) };
        let (stopped, ()) = tokio::join!(timeout(SOON, node.stop()), opened);
        stopped??;
        let other = Farm::new("two", &log);
        let second = way
            .node("second")
            .group(other.group("farm"))
            .start()
            .await?;
        let expected: Vec<_> = (0..10).map(|number| format!("a {number}")).collect();
        let handled = || {
            let mut lines = log.lines();
            lines.retain(|line| line.starts_with("a "));
            lines
        };
        until("all events", async || handled().len() >= 10).await;
        assert_eq!(handled(), expected, "once each, in order");
        Ok(second.stop().await?)
    })
    .await
}

#[tokio::test]
async fn stopping_takes_no_longer_than_its_bounds() -> Verdict {
    every_way(async |way| {
        let log = Log::default();
        let node = way
            .node("n")
            .drain_within(Duration::from_millis(200))
            .group(Farm::closed("one", &log).group("farm"))
            .start()
            .await?;
        let client = node.client();
        client
            .publish(Sown { field: "a".to_owned(), number: 0 })
            .await?;
        client.tell(Wait).await?;
        log.of(1).await;
        let began = Instant::now();
        node.stop().await?;
        assert!(
            began.elapsed() < Duration::from_secs(12),
            "{:?}",
            began.elapsed()
        );
        Ok(())
    })
    .await
}

#[tokio::test]
async fn the_tree_is_told_over_the_bus() -> Verdict {
    both_buses(async |way| {
        let log = Log::default();
        let node = way
            .node("n")
            .group(Farm::new("one", &log).group("farm"))
            .start()
            .await?;
        node.client().call(Panic).await.expect_err("it panics");
        for subject in ["sys.ask.tree", "sys.ask.tree.n"] {
            let farmer = async || {
                let told = way.ask(subject, Message::new("", "")).await.ok()?;
                let tree: Tree = codec::decode(&told.payload).ok()?;
                assert_eq!((&*tree.node, &*tree.groups[0].name), ("n", "farm"));
                Some(tree.groups[0].children[0].clone())
            };
            until("a restart in the tree", async || {
                farmer().await.is_some_and(|farmer| farmer.restarts == 1)
            })
            .await;
            let farmer = farmer().await.ok_or("no answer")?;
            assert_eq!((&*farmer.name, &*farmer.policy), ("farmer", "permanent"));
            assert_eq!((farmer.state, farmer.mailbox), (State::Running, Some(0)));
            assert!(
                farmer
                    .reason
                    .is_some_and(|reason| reason.contains("a bad harvest"))
            );
        }
        Ok(node.stop().await?)
    })
    .await
}
