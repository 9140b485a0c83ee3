//! Decisions: made once, on what is known, and never lost.

use crate::bank::{Outcome, Short, deposit, node, stored, withdraw};
use callboard::{
    Bus, CallError,
    message::{Id, Status},
};

#[tokio::test]
async fn a_decision_is_stored_and_the_next_one_knows_it() -> Outcome {
    let bus = Bus::embedded();
    let node = node("one", &bus).await?;
    let client = node.client();
    assert_eq!(client.call(deposit("a", 10)).await?, 10);
    assert_eq!(client.call(deposit("a", 5)).await?, 15);
    assert_eq!(
        client.call(deposit("b", 1)).await?,
        1,
        "each key has its own state"
    );
    let short = client.call(withdraw("a", 16)).outcome().await?;
    assert_eq!(short, Err(Short { balance: 15 }));
    assert_eq!(client.call(withdraw("a", 15)).await?, 0);
    let events = stored(&client).await?;
    assert_eq!(
        events.last(),
        Some(&vec![
            "bank.withdrawn".to_owned(),
            "bank.emptied".to_owned()
        ])
    );
    assert_eq!(
        events.len(),
        4,
        "the events of one decision are one message"
    );
    node.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_new_node_finds_what_the_old_one_decided() -> Outcome {
    let bus = Bus::embedded();
    let first = node("one", &bus).await?;
    first.client().call(deposit("a", 10)).await?;
    first.client().call(withdraw("a", 10)).await?;
    first.stop().await?;
    let second = node("two", &bus).await?;
    assert_eq!(second.client().call(deposit("a", 2)).await?, 2);
    second.stop().await?;
    Ok(())
}

#[tokio::test]
async fn the_same_command_again_changes_nothing_and_gets_the_first_reply() -> Outcome {
    let bus = Bus::embedded();
    let id = Id::new();
    let first = node("one", &bus).await?;
    assert_eq!(
        first.client().call(deposit("a", 10)).id(id.clone()).await?,
        10
    );
    assert_eq!(first.client().call(deposit("a", 7)).await?, 17);
    assert_eq!(
        first.client().call(deposit("a", 10)).id(id.clone()).await?,
        10
    );
    let second = node("two", &bus).await?;
    assert_eq!(
        second.client().call(deposit("a", 10)).id(id).await?,
        10,
        "also on another node"
    );
    assert_eq!(stored(&first.client()).await?.len(), 2);
    first.stop().await?;
    second.stop().await?;
    Ok(())
}

#[tokio::test]
async fn two_nodes_that_decide_one_key_at_once_lose_nothing() -> Outcome {
    let bus = Bus::embedded();
    let (one, two) = (node("one", &bus).await?, node("two", &bus).await?);
    let mut calls = tokio::task::JoinSet::new();
    for n in 0..200 {
        let client = if n % 2 == 0 {
            one.client()
        } else {
            two.client()
        };
        calls.spawn(async move { client.call(deposit("hot", 1)).await });
    }
    while let Some(call) = calls.join_next().await {
        call??;
    }
    assert_eq!(one.client().call(withdraw("hot", 200)).await?, 0);
    one.stop().await?;
    two.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_panicking_decision_is_its_callers_500_only() -> Outcome {
    let bus = Bus::embedded();
    let node = node("one", &bus).await?;
    let client = node.client();
    client.call(deposit("a", 1)).await?;
    let crashed = client.call(deposit("a", 13)).await;
    assert!(
        matches!(crashed, Err(CallError::Failed { ref reason, .. }) if reason.contains("unlucky"))
    );
    assert_eq!(client.call(deposit("a", 1)).await?, 2);
    assert_eq!(node.tree().groups[0].children[0].restarts, 0);
    node.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_command_without_a_key_is_refused_and_says_so() -> Outcome {
    let bus = Bus::embedded();
    let node = node("one", &bus).await?;
    let refused = node.client().call(deposit("", 1)).await;
    assert!(
        matches!(
            refused,
            Err(CallError::Refused { status: Status::Malformed, ref reason, .. })
                if reason.contains("key is empty")
        ),
        "{refused:?}"
    );
    node.stop().await?;
    Ok(())
}
