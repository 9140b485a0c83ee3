//! Many nodes start at once: what is said does not grow with the square of them.

use crate::{
    support::way::{Verdict, Way, until},
    yard::{nodes, yard},
};
use callboard::bus::Subscription;
use futures_util::future::try_join_all;
use std::{collections::BTreeMap, time::Duration};
use tokio::time::timeout;

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
        .subscribe(&way.names().system("presence.*.>"), None)
        .await?;
    let mut beats = way
        .bus
        .subscribe(&way.names().system("presence.beat"), None)
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
    try_join_all(running.into_iter().map(callboard::Running::stop)).await?;
    let counts = said(&mut heard).await;
    assert_eq!(counts["leave"], NODES, "{counts:?}");
    Ok(())
}
