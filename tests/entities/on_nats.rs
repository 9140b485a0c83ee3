//! The same on a server, with nodes that do not share a process.

use crate::{
    bank::{Outcome, deposit, node, stored, withdraw},
    support::nats::Server,
};
use callboard::{Bus, message::Id};
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
