//! What happens to a decision whose caller has stopped waiting.

use crate::{
    bank::{Account, Deposited, Outcome, deposit, node, stored, withdraw},
    support::way::until,
};
use callboard::{Bus, CallError, Entity, Group, Node, message::Id};
use std::{
    sync::{Arc, Mutex, PoisonError, mpsc},
    time::Duration,
};

#[tokio::test]
async fn a_decision_that_lost_a_race_is_not_stored_after_its_callers_deadline() -> Outcome {
    let bus = Bus::embedded();
    let (reached, has_reached) = mpsc::channel();
    let (go, may_go) = mpsc::channel::<()>();
    let gate = Arc::new(Mutex::new((reached, may_go)));
    let account = Entity::new("account", Account::default)
        .decide(move |account: &Account, command: crate::bank::Deposit| {
            if command.amount == 77 {
                let gate = gate.lock().unwrap_or_else(PoisonError::into_inner);
                gate.0.send(()).ok();
                // Goes on at once after the first time: the sender is gone.
                gate.1.recv().ok();
            }
            account.deposit(command)
        })
        .decide(Account::withdraw)
        .apply(|account: &mut Account, deposited: &Deposited| account.balance += deposited.amount)
        .apply(
            |account: &mut Account, withdrawn: &crate::bank::Withdrawn| {
                account.balance -= withdrawn.amount;
            },
        )
        .ignore::<crate::bank::Emptied>();
    let slow = Node::new("slow", bus.clone())
        .group(Group::new("bank").child(account))
        .start()
        .await?;
    let quick = node("quick", &bus).await?;
    let client = slow.client();
    let mut asking = tokio::task::JoinSet::new();
    asking.spawn(async move {
        client
            .call(deposit("a", 77))
            .timeout(Duration::from_millis(300))
            .await
    });
    tokio::task::spawn_blocking(move || has_reached.recv()).await??;
    // Somebody else is faster, so that the slow one has to decide again.
    assert_eq!(quick.client().call(deposit("a", 10)).await?, 10);
    let late = asking.join_next().await.ok_or("it was asked")??;
    assert!(late.is_err(), "{late:?}");
    drop(go);
    assert_eq!(
        slow.client().call(withdraw("a", 1)).await?,
        9,
        "the line of the key goes on, without the late deposit"
    );
    let kinds = stored(&quick.client()).await?.concat();
    assert_eq!(kinds, ["bank.deposited", "bank.withdrawn"]);
    slow.stop().await?;
    quick.stop().await?;
    Ok(())
}

#[tokio::test]
async fn the_panic_of_a_decision_is_logged_with_entity_key_command_and_id() -> Outcome {
    let log = crate::logged::Lines::capture();
    let node = node("one", &Bus::embedded()).await?;
    let id = Id::from("unlucky-command-17");
    let crashed = node
        .client()
        .call(deposit("panicking-key", 13))
        .id(id)
        .await;
    assert!(matches!(crashed, Err(CallError::Failed { .. })));
    until("the panic in the log", async || {
        log.lines().iter().any(|line| {
            [
                "ERROR",
                "account",
                "panicking-key",
                "bank.deposit",
                "unlucky-command-17",
                "unlucky",
                "correlation",
            ]
            .iter()
            .all(|word| line.contains(word))
        })
    })
    .await;
    node.stop().await?;
    Ok(())
}
