//! Entities come into memory when they are asked for, and leave it again.

use crate::{
    bank::{Account, Deposited, Outcome, bank, deposit, withdraw},
    support::folder::Folder,
};
use callboard::{Bus, Entity, Group, Node, message::Id};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

#[tokio::test]
async fn beyond_the_bound_the_one_that_rested_longest_is_loaded_again() -> Outcome {
    let applied = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&applied);
    let account = Entity::new("account", Account::default)
        .decide(Account::deposit)
        .apply(move |account: &mut Account, deposited: &Deposited| {
            count.fetch_add(1, Ordering::Relaxed);
            account.balance += deposited.amount;
        })
        .cached(2);
    let group = Group::new("bank").child(account);
    let node = Node::new("one", Bus::embedded())
        .group(group)
        .start()
        .await?;
    let client = node.client();
    for key in ["a", "b", "c", "c", "b", "a"] {
        client.call(deposit(key, 1)).await?;
    }
    assert_eq!(
        applied.load(Ordering::Relaxed),
        7,
        "six decided, `a` lived through its first again"
    );
    node.stop().await?;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn an_entity_that_rests_too_long_leaves_memory() -> Outcome {
    let applied = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&applied);
    let account = Entity::new("account", Account::default)
        .decide(Account::deposit)
        .apply(move |account: &mut Account, deposited: &Deposited| {
            count.fetch_add(1, Ordering::Relaxed);
            account.balance += deposited.amount;
        })
        .passivate_after(Duration::from_mins(5));
    let heard = callboard::replay::Replay::of(Group::new("bank").child(account))
        .ask(deposit("a", 1))
        .after(Duration::from_mins(10))
        .ask(deposit("a", 2))
        .settle()
        .await?;
    assert_eq!(heard.events::<Deposited>().len(), 2);
    assert_eq!(applied.load(Ordering::Relaxed), 3);
    Ok(())
}

#[tokio::test]
async fn what_was_decided_is_there_after_the_process_and_its_bus_are_gone() -> Outcome {
    let folder = Folder::fresh();
    let id = Id::new();
    for (balance, amount) in [(10, 10), (15, 5)] {
        let bus = Bus::embedded_at(folder.path())?;
        let node = Node::new("one", bus).group(bank()).start().await?;
        assert_eq!(node.client().call(deposit("a", amount)).await?, balance);
        node.client().call(deposit("b", 7)).id(id.clone()).await?;
        node.stop().await?;
    }
    let node = Node::new("two", Bus::embedded_at(folder.path())?)
        .group(bank())
        .start()
        .await?;
    assert_eq!(node.client().call(withdraw("a", 15)).await?, 0);
    assert_eq!(
        node.client().call(withdraw("b", 7)).await?,
        0,
        "deposited once"
    );
    node.stop().await?;
    Ok(())
}
