//! Many nodes start at once: what is said does not grow with the square of them.

use crate::{
    support::way::{Verdict, Way, until},
    yard::{nodes, yard},
};
use callboard::{
    Running,
    bus::{Message, Subscription},
    message::codec,
};
use futures_util::future::try_join_all;
use serde_json::json;
use std::{collections::BTreeMap, error::Error, time::Duration};
use tokio::time::{Instant, timeout, timeout_at};

const NODES: usize = 60;

/// Takes what has been said so far, and counts it by its kind.
async fn said(heard: &mut Subscription) -> BTreeMap<&'static str, usize> {
    let mut counts = BTreeMap::new();
    while let Ok(Some(word)) = timeout(Duration::from_millis(100), heard.next()).await {
        let kinds = ["beat", "card", "leave", "show", "to."];
        let kind = kinds.into_iter().find(|kind| word.subject.contains(kind));
        *counts.entry(kind.unwrap_or("else")).or_default() += 1;
    }
    counts
}

#[tokio::test]
async fn sixty_nodes_that_start_at_once_know_each_other_without_a_storm() -> Verdict {
    let way = Way::embedded(true);
    // Not the question itself: who listened to it would be taken for one who answers.
    let mut heard = way
        .bus
        .subscribe(&way.names().system("*.presence.*.>"), None)
        .await?;
    let mut beats = way
        .bus
        .subscribe(&way.names().system("node.presence.beat"), None)
        .await?;
    let starting = (0..NODES).map(|number| way.node(&format!("n-{number}")).group(yard()).start());
    let running = try_join_all(starting).await?;
    until("all of all", async || {
        running
            .iter()
            .all(|node| nodes(&node.roster(), "yard").len() == NODES)
    })
    .await;
    let counts = said(&mut heard).await;
    let of = |kind: &str| counts.get(kind).copied().unwrap_or_default();
    // Each says where it is in its life, and reads few pages of one other.
    assert!(of("card") <= 3 * NODES, "{counts:?}");
    assert!(of("to.") <= NODES * NODES / 32, "{counts:?}");
    assert!(
        of("show") <= NODES && said(&mut beats).await["beat"] <= 2 * NODES,
        "{counts:?}"
    );
    try_join_all(running.into_iter().map(Running::stop)).await?;
    let counts = said(&mut heard).await;
    assert_eq!(counts["leave"], NODES, "{counts:?}");
    Ok(())
}

const CROWD: usize = 24;
const HEARTBEAT: Duration = Duration::from_secs(1);
const SILENCE: Duration = Duration::from_secs(3);

async fn crowd(way: &Way) -> Result<Vec<Running>, Box<dyn Error>> {
    let starting = (0..CROWD).map(|number| {
        let node = way.node(&format!("n-{number:02}")).group(yard());
        node.heartbeat(HEARTBEAT, SILENCE).start()
    });
    let running = try_join_all(starting).await?;
    until("all of all", async || {
        running
            .iter()
            .all(|node| nodes(&node.roster(), "yard").len() == CROWD)
    })
    .await;
    Ok(running)
}

/// Counts what is heard for a while.
async fn count(heard: &mut Subscription, span: Duration) -> usize {
    let (end, mut count) = (Instant::now() + span, 0);
    while let Ok(Some(_)) = timeout_at(end, heard.next()).await {
        count += 1;
    }
    count
}

#[tokio::test]
async fn among_many_one_tells_the_others_who_lives_and_others_follow_it() -> Verdict {
    let way = Way::embedded(true);
    let mut digests = way
        .bus
        .subscribe(&way.names().system("node.presence.digest"), None)
        .await?;
    let mut running = crowd(&way).await?;
    count(&mut digests, HEARTBEAT).await;
    let told = count(&mut digests, SILENCE).await;
    // Twice per heartbeat by one of them, and rarely by one that stood by.
    assert!((4..=12).contains(&told), "{told}");
    for relay in running.drain(..3) {
        relay.stop().await?;
    }
    let told = count(&mut digests, SILENCE * 2).await;
    assert!((8..=24).contains(&told), "{told}");
    for node in &running {
        assert_eq!(nodes(&node.roster(), "yard").len(), CROWD - 3);
    }
    try_join_all(running.into_iter().map(Running::stop)).await?;
    Ok(())
}

#[tokio::test]
async fn while_nobody_tells_them_they_listen_for_themselves() -> Verdict {
    let way = Way::embedded(true);
    // Three that have the first names, and are there, and say nothing.
    let ghosts = async || -> Verdict {
        for number in 0..3 {
            let card = json!({
                "instance": format!("a-{number}"), "node": format!("a-{number}"),
                "revision": 1, "ttl_ms": 60_000, "services": [],
            });
            let subject = way.names().system("node.presence.news.card");
            let card: callboard::roster::Card = serde_json::from_value(card)?;
            way.bus
                .send(Message::new(subject, codec::encode(&card)?))
                .await?;
        }
        Ok(())
    };
    let running = crowd(&way).await?;
    ghosts().await?;
    until("the ghosts", async || {
        running
            .iter()
            .all(|node| node.roster().cards().len() == CROWD + 3)
    })
    .await;
    let mut digests = way
        .bus
        .subscribe(&way.names().system("node.presence.digest"), None)
        .await?;
    count(&mut digests, HEARTBEAT).await;
    let told = count(&mut digests, SILENCE * 2).await;
    assert_eq!(told, 0, "those who should tell are ghosts");
    for node in &running {
        assert_eq!(nodes(&node.roster(), "yard").len(), CROWD, "{node:?}");
    }
    try_join_all(running.into_iter().map(Running::stop)).await?;
    Ok(())
}
