//! What a checkpoint promises: it saves folding, and costs nothing when it is bad.

use crate::{
    library::{Gate, Lent, Tell, shelf, with_ballast},
    support::way::{SOON, Verdict, Way, both_buses, until},
};
use callboard::{
    Client,
    bus::{Expect, Message, Stored, StreamConfig},
    message::{Headers, Id, headers},
    projection::rebuild,
};
use std::error::Error;

async fn lend(client: &Client, from: u32, to: u32) -> Verdict {
    for n in from..to {
        client.publish(Lent::of(&format!("b{n}"), "ada")).await?;
    }
    Ok(())
}

/// Returns what the stream of snapshots has on a subject of the projection.
async fn last(way: &Way, subject: &str) -> Result<Option<Stored>, Box<dyn Error>> {
    let snapshots = way
        .bus
        .stream(&StreamConfig::snapshots(&way.names()))
        .await?;
    let subject = format!("{}.{subject}", way.names().checkpoint("library/shelf", 1));
    Ok(snapshots.last(subject.trim_end_matches('.')).await?)
}

/// Replaces what the stream of snapshots has on a subject of the projection.
async fn spoil(way: &Way, subject: &str) -> Verdict {
    let snapshots = way
        .bus
        .stream(&StreamConfig::snapshots(&way.names()))
        .await?;
    let subject = format!("{}.{subject}", way.names().checkpoint("library/shelf", 1));
    let mut spoilt = Headers::new();
    spoilt.insert(headers::MSG_ID, Id::new().to_string())?;
    let message = Message::new(subject.trim_end_matches('.'), "spoilt").headers(spoilt);
    snapshots.append(message, Expect::Any).await?;
    Ok(())
}

#[tokio::test]
async fn a_restart_goes_on_from_the_checkpoint() -> Verdict {
    both_buses(async |way| {
        let (client, gate) = (way.client(), Gate::default());
        let describe = || shelf(&gate).checkpoint_every(10);
        let node = way
            .node("one")
            .group(describe().into_group())
            .start()
            .await?;
        lend(&client, 0, 25).await?;
        until("all in the model", async || {
            client
                .call(Tell)
                .await
                .is_ok_and(|overview| overview.lent == 25)
        })
        .await;
        node.stop().await?;
        assert_eq!(gate.folded(), 25);
        lend(&client, 25, 30).await?;
        let node = way
            .node("two")
            .group(describe().into_group())
            .start()
            .await?;
        assert_eq!(client.call(Tell).await?.lent, 30);
        assert_eq!(
            gate.folded(),
            30,
            "what was written down is not folded again"
        );
        Ok(node.stop().await?)
    })
    .await
}

#[tokio::test]
async fn a_node_that_is_killed_goes_on_from_what_was_written_meanwhile() -> Verdict {
    let way = Way::embedded(true);
    let (client, gate) = (way.client(), Gate::default());
    let describe = || shelf(&gate).checkpoint_every(10);
    let node = way
        .node("one")
        .group(describe().into_group())
        .start()
        .await?;
    lend(&client, 0, 10).await?;
    until("a checkpoint", async || {
        matches!(last(&way, "").await, Ok(Some(_)))
    })
    .await;
    // A panic drops the model as a crash of the process would.
    gate.panics(1);
    lend(&client, 10, 11).await?;
    until("all in the model again", async || {
        client
            .call(Tell)
            .await
            .is_ok_and(|overview| overview.lent == 11)
    })
    .await;
    assert_eq!(
        gate.folded(),
        12,
        "ten, the one that panicked, and that one again"
    );
    Ok(node.stop().await?)
}

#[tokio::test]
async fn a_large_model_is_written_in_parts_and_the_next_one_beside_it() -> Verdict {
    both_buses(async |way| {
        let (client, gate) = (way.client(), Gate::default());
        let describe = || with_ballast(&gate, 700_000).checkpoint_every(1_000);
        for round in 1..=3 {
            let node = way.node("n").group(describe().into_group()).start().await?;
            lend(&client, round, round + 1).await?;
            until("it in the model", async || {
                client
                    .call(Tell)
                    .await
                    .is_ok_and(|overview| overview.lent == round)
            })
            .await;
            node.stop().await?;
            assert_eq!(gate.folded(), round, "each event is folded once");
        }
        assert!(last(way, "0.2").await?.is_some() && last(way, "1.2").await?.is_some());
        Ok(())
    })
    .await
}

#[tokio::test]
async fn an_unreadable_checkpoint_is_ignored_and_the_model_is_built_anew() -> Verdict {
    for part in ["", "0.0"] {
        let way = Way::embedded(true);
        let (client, gate) = (way.client(), Gate::default());
        let describe = || shelf(&gate).checkpoint_every(10);
        lend(&client, 0, 12).await?;
        let node = way
            .node("one")
            .group(describe().into_group())
            .start()
            .await?;
        node.stop().await?;
        assert_eq!(gate.folded(), 12);
        spoil(&way, part).await?;
        let node = way
            .node("two")
            .group(describe().into_group())
            .start()
            .await?;
        assert_eq!(client.call(Tell).await?.lent, 12, "spoilt: `{part}`");
        assert_eq!(gate.folded(), 24);
        node.stop().await?;
    }
    Ok(())
}

#[tokio::test]
async fn another_version_does_not_use_the_checkpoint_and_leaves_it_alone() -> Verdict {
    let way = Way::embedded(true);
    let (client, gate) = (way.client(), Gate::default());
    lend(&client, 0, 12).await?;
    for (version, folded) in [(1, 12), (2, 24), (1, 24), (2, 24)] {
        let projection = shelf(&gate).checkpoint_every(10).version(version);
        let node = way.node("n").group(projection.into_group()).start().await?;
        assert_eq!(client.call(Tell).await?.lent, 12);
        assert_eq!(gate.folded(), folded, "version {version}");
        node.stop().await?;
    }
    Ok(())
}

#[tokio::test]
async fn nodes_that_write_at_the_same_time_leave_a_whole_checkpoint() -> Verdict {
    both_buses(async |way| {
        let (client, gate) = (way.client(), Gate::default());
        let describe = || with_ballast(&gate, 600_000).checkpoint_every(5);
        let (one, two) = (
            way.node("one")
                .group(describe().into_group())
                .start()
                .await?,
            way.node("two")
                .group(describe().into_group())
                .start()
                .await?,
        );
        lend(&client, 0, 50).await?;
        until("both to have all", async || gate.folded() == 100).await;
        one.stop().await?;
        two.stop().await?;
        let node = way
            .node("three")
            .group(describe().into_group())
            .start()
            .await?;
        assert_eq!(client.call(Tell).await?.lent, 50);
        assert_eq!(gate.folded(), 100, "nothing is folded again");
        Ok(node.stop().await?)
    })
    .await
}

#[tokio::test]
async fn a_rebuilt_model_replaces_the_checkpoint() -> Verdict {
    both_buses(async |way| {
        let (client, gate) = (way.client(), Gate::default());
        let describe = || shelf(&gate).checkpoint_every(10);
        lend(&client, 0, 12).await?;
        let node = way
            .node("one")
            .group(describe().into_group())
            .start()
            .await?;
        let written = async || last(way, "").await.ok().flatten();
        until("a checkpoint", async || written().await.is_some()).await;
        let before = written().await.map(|stored| stored.sequence);
        rebuild(&client, "library/shelf", SOON).await?;
        let after = written().await.map(|stored| stored.sequence);
        assert!(after > before, "{after:?} after {before:?}");
        node.stop().await?;
        let node = way
            .node("two")
            .group(describe().into_group())
            .start()
            .await?;
        assert_eq!(client.call(Tell).await?.lent, 12);
        assert_eq!(gate.folded(), 24, "the new one is read");
        Ok(node.stop().await?)
    })
    .await
}

#[tokio::test]
async fn a_checkpoint_of_another_stream_is_ignored() -> Verdict {
    let (old, new) = (Way::embedded(true), Way::embedded(true));
    let gate = Gate::default();
    let describe = || shelf(&gate).checkpoint_every(10);
    lend(&old.client(), 0, 12).await?;
    let node = old.node("n").group(describe().into_group()).start().await?;
    node.stop().await?;
    // The checkpoint comes to a bus whose stream has begun anew.
    let from = old
        .bus
        .stream(&StreamConfig::snapshots(&old.names()))
        .await?;
    let to = new
        .bus
        .stream(&StreamConfig::snapshots(&new.names()))
        .await?;
    for stored in from.read(">", 1).await?.all().await? {
        let subject = stored.subject.replace(&old.namespace, &new.namespace);
        let message = Message::new(subject, stored.payload).headers(stored.headers);
        to.append(message, Expect::Any).await?;
    }
    lend(&new.client(), 0, 3).await?;
    let node = new.node("n").group(describe().into_group()).start().await?;
    assert_eq!(new.client().call(Tell).await?.lent, 3);
    Ok(node.stop().await?)
}
