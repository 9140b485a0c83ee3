//! A log that lost its tail is not mistaken for the one that was.

use crate::bank::{Account, Deposited, Outcome, deposit};
use callboard::{
    Bus, Client, Entity, Group, Node, Running,
    bus::{Expect, Stream, StreamConfig},
    message::Id,
};

async fn open(bus: &Bus, name: &str) -> Result<Running, callboard::NodeError> {
    let account = Entity::new("account", Account::default)
        .decide(Account::deposit)
        .apply(|account: &mut Account, deposited: &Deposited| account.balance += deposited.amount)
        .snapshot_every(2);
    Node::new(name, bus.clone())
        .group(Group::new("bank").child(account))
        .start()
        .await
}

pub(crate) async fn publish(bus: &Bus, amount: u64) -> Outcome {
    let outside = Client::new(bus.clone(), "callboard".parse()?);
    let deposited = Deposited { account: "a".into(), amount };
    outside.publish(deposited).await?;
    Ok(())
}

async fn snapshots(bus: &Bus) -> Result<Stream, Box<dyn std::error::Error>> {
    Ok(bus
        .stream(&StreamConfig::snapshots(&"callboard".parse()?))
        .await?)
}

#[tokio::test]
async fn a_snapshot_of_events_that_were_lost_is_passed_over() -> Outcome {
    let (before, after) = (Bus::embedded(), Bus::embedded());
    let node = open(&before, "one").await?;
    for _ in 0..4 {
        node.client().call(deposit("a", 1_000)).await?;
    }
    node.stop().await?;
    // The same sequences, with other messages: the log lost its tail and went on.
    for amount in [1, 2, 3, 4] {
        publish(&after, amount).await?;
    }
    let stale = snapshots(&before).await?;
    let stale = stale.last("callboard.snap.bank.account.a").await?;
    let stale = stale.ok_or("no snapshot was taken")?;
    let kept = callboard::bus::Message::new(stale.subject, stale.payload).headers(stale.headers);
    snapshots(&after).await?.append(kept, Expect::Any).await?;
    let node = open(&after, "two").await?;
    assert_eq!(
        node.client().call(deposit("a", 10)).await?,
        1 + 2 + 3 + 4 + 10
    );
    node.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_snapshots_memory_of_a_lost_command_does_not_answer_for_it() -> Outcome {
    let (before, after) = (Bus::embedded(), Bus::embedded());
    let lost = Id::from("lost-command");
    let node = open(&before, "one").await?;
    for at in 0..4 {
        let call = node.client();
        let call = call.call(deposit("a", 1));
        let call = if at == 1 { call.id(lost.clone()) } else { call };
        call.await?;
    }
    node.stop().await?;
    for amount in [1, 2, 3, 4] {
        publish(&after, amount).await?;
    }
    let (stale, into) = (snapshots(&before).await?, snapshots(&after).await?);
    let stale = stale.last("callboard.snap.bank.account.a").await?;
    let stale = stale.ok_or("no snapshot was taken")?;
    let kept = callboard::bus::Message::new(stale.subject, stale.payload).headers(stale.headers);
    into.append(kept, Expect::Any).await?;
    let node = open(&after, "two").await?;
    assert_eq!(node.client().call(deposit("a", 5)).id(lost).await?, 15);
    node.stop().await?;
    Ok(())
}

#[cfg(feature = "nats")]
mod on_a_server {
    use super::{Outcome, open, publish};
    use crate::{
        bank::deposit,
        support::{folder::Folder, nats::Server},
    };
    use callboard::Bus;
    use std::{fs, io, path::Path};

    fn copy(from: &Path, to: &Path) -> io::Result<()> {
        fs::create_dir_all(to)?;
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            let to = to.join(entry.file_name());
            if entry.file_type()?.is_dir() {
                copy(&entry.path(), &to)?;
            } else {
                fs::copy(entry.path(), to)?;
            }
        }
        Ok(())
    }

    #[tokio::test]
    async fn a_state_in_memory_is_built_anew_when_its_events_are_gone() -> Outcome {
        let (kept, store) = (Folder::fresh(), Folder::fresh());
        let config = format!(r#"jetstream {{ store_dir: "{}" }}"#, store.path().display());
        let mut server = Server::with(&config);
        let bus = Bus::nats(server.url()).await?;
        let node = open(&bus, "one").await?;
        let client = node.client();
        for _ in 0..2 {
            client.call(deposit("a", 1)).await?;
        }
        server.kill();
        copy(store.path(), kept.path())?;
        server.restart();
        for _ in 0..2 {
            let retried = async || {
                crate::support::way::until("the server is back", async || {
                    client.call(deposit("a", 1_000)).await.is_ok()
                })
                .await;
            };
            retried().await;
        }
        server.kill();
        fs::remove_dir_all(store.path())?;
        copy(kept.path(), store.path())?;
        server.restart();
        let other = Bus::nats(server.url()).await?;
        // The sequences are used again, by other events.
        publish(&other, 3).await?;
        publish(&other, 4).await?;
        crate::support::way::until("a balance of the log", async || {
            match client.call(deposit("a", 10)).await {
                Ok(balance) => {
                    assert_eq!((balance - 9) % 10, 0, "{balance} is not of this log");
                    true
                }
                Err(_) => false,
            }
        })
        .await;
        node.stop().await?;
        Ok(())
    }
}
