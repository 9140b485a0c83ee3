//! The same on a server, with nodes that do not share a process.

use crate::{
    bank::{Account, Deposited, Outcome, deposit, node, stored, withdraw},
    support::nats::Server,
};
use callboard::{Bus, Entity, Group, Node, message::Id};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

#[tokio::test]
async fn two_nodes_on_a_server_decide_one_key_and_lose_nothing() -> Outcome {
    let server = Server::start();
    let one = node("one", &Bus::nats(server.url()).await?).await?;
    let two = node("two", &Bus::nats(server.url()).await?).await?;
    let mut calls = JoinSet::new();
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
    assert_eq!(two.client().call(deposit("hot", 1)).await?, 1);
    one.stop().await?;
    two.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_command_repeated_on_another_node_is_done_once() -> Outcome {
    let server = Server::start();
    let one = node("one", &Bus::nats(server.url()).await?).await?;
    let two = node("two", &Bus::nats(server.url()).await?).await?;
    let id = Id::new();
    assert_eq!(
        one.client().call(deposit("a", 10)).id(id.clone()).await?,
        10
    );
    assert_eq!(one.client().call(deposit("a", 5)).await?, 15);
    assert_eq!(two.client().call(deposit("a", 10)).id(id).await?, 10);
    assert_eq!(two.client().call(withdraw("a", 15)).await?, 0);
    assert_eq!(stored(&two.client()).await?.len(), 3);
    one.stop().await?;
    two.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_snapshot_that_cannot_be_stored_does_not_hold_up_its_key() -> Outcome {
    let server = Server::with(
        r#"authorization { users: [ {
            user: ada, password: secret, permissions: { publish: { deny: "*.snap.>" } }
        } ] }"#,
    );
    let url = format!("nats://ada:secret@127.0.0.1:{}", server.port());
    let bus = Bus::nats(url.as_str()).await?;
    let account = Entity::new("account", Account::default)
        .decide(Account::deposit)
        .apply(|account: &mut Account, deposited: &Deposited| account.balance += deposited.amount)
        .snapshot_every(5);
    let group = Group::new("bank").child(account);
    let node = Node::new("one", bus).group(group).start().await?;
    let (client, started) = (node.client(), Instant::now());
    for balance in 1..=30 {
        assert_eq!(client.call(deposit("a", 1)).await?, balance);
    }
    assert!(started.elapsed() < Duration::from_secs(5));
    node.stop().await?;
    Ok(())
}
