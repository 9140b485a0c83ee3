//! What was parked goes on at one node, also when records get lost or nobody is pinned.

use crate::{
    farm::{Farm, free, operator, parked, sow, sown},
    support::way::{Verdict, Way, both_buses, until},
};
use bytes::Bytes;
use callboard::{
    bus::{Append, Expect, Message, Stored, StreamConfig, partition},
    call::LetterState,
    message::{
        Id,
        headers::{CE_ID, MSG_ID},
    },
};
use std::{error::Error, time::Duration};

/// Returns the last record of the stream of parked keys.
async fn last_record(way: &Way) -> Result<Option<Stored>, Box<dyn Error>> {
    let stream = way.bus.stream(&StreamConfig::parked(&way.names())).await?;
    Ok(stream.read(">", 1).await?.all().await?.pop())
}

/// Stores what a node said last once more, as a write does that the server took
/// and did not confirm.
async fn store_unconfirmed(way: &Way) -> Verdict {
    let stream = way.bus.stream(&StreamConfig::parked(&way.names())).await?;
    let is_draining = |last: &Stored| last.headers.get("ce-type") == Some("callboard.draining");
    loop {
        until("a key that drains", async || {
            let last = last_record(way).await;
            last.is_ok_and(|last| last.as_ref().is_some_and(is_draining))
        })
        .await;
        let last = last_record(way).await?.ok_or("nothing is parked")?;
        if !is_draining(&last) {
            continue;
        }
        let mut headers = last.headers.clone();
        let id = Id::new().to_string();
        headers.insert(CE_ID, id.clone())?;
        headers.insert(MSG_ID, id)?;
        let message = Message::new(last.subject, last.payload).headers(headers);
        let appended = stream.append(message, Expect::Last(last.sequence)).await?;
        if matches!(appended, Append::Committed { .. }) {
            return Ok(());
        }
    }
}

/// Makes the server forget which node reads a partition, as a restart of it does.
async fn unpin(way: &Way, key: &str) -> Verdict {
    if way.is_embedded() {
        return Ok(());
    }
    let (names, at) = (way.names(), partition(key, 8));
    let subject = format!("$JS.API.CONSUMER.UNPIN.{names}_EVT_farm.barn_farmer_{at}");
    let body = Bytes::from_static(br#"{"group":"one"}"#);
    let message = Message::new(subject, body);
    way.bus.request(message, Duration::from_secs(5)).await?;
    Ok(())
}

#[tokio::test]
async fn a_key_goes_on_after_a_record_that_was_stored_and_never_confirmed() -> Verdict {
    both_buses(async |way| {
        let farm = Farm::default();
        farm.spoil("a0");
        let node = farm.start(way).await?;
        let client = way.client();
        for n in 0..120 {
            client.publish(sown("a", n)).await?;
        }
        let found = parked(way, 1).await;
        farm.mend();
        farm.pace(Duration::from_millis(40));
        operator(way).retry(&found[0]).await?;
        farm.log.of(3).await;
        store_unconfirmed(way).await?;
        farm.log.of(120).await;
        free(way).await;
        let expected: Vec<_> = (0..120).map(|n| format!("a{n}")).collect();
        assert_eq!(farm.log.lines(), expected);
        Ok(node.stop().await?)
    })
    .await
}

#[tokio::test]
async fn of_many_nodes_one_handles_a_redriven_letter_also_when_none_is_pinned() -> Verdict {
    both_buses(async |way| {
        let farm = Farm::default();
        farm.refuse("a1");
        let mut nodes = Vec::new();
        for name in ["n", "m", "o"] {
            nodes.push(way.node(name).group(farm.group()).start().await?);
        }
        sow(way, "a1").await?;
        way.dead(1, "cb-dead-reason").await;
        farm.mend();
        farm.pace(Duration::from_millis(200));
        unpin(way, "a").await?;
        let letter = operator(way).dead(1, 10).await?.remove(0);
        operator(way).redrive(&letter).await?;
        until("the letter handled", async || {
            let letters = operator(way).dead(1, 10).await;
            letters.is_ok_and(|all| all[0].state == LetterState::Handled)
        })
        .await;
        // Whoever took it too is done before this one.
        sow(way, "a2").await?;
        until("the next event", async || farm.log.count("a2") == 1).await;
        farm.handled(&["a1", "a2"]);
        for node in nodes {
            node.stop().await?;
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn of_many_nodes_one_lets_a_key_go_on_also_when_none_is_pinned() -> Verdict {
    both_buses(async |way| {
        let farm = Farm::default();
        farm.spoil("a0");
        let mut nodes = Vec::new();
        for name in ["n", "m", "o"] {
            nodes.push(way.node(name).group(farm.group()).start().await?);
        }
        let client = way.client();
        for n in 0..100 {
            client.publish(sown("a", n)).await?;
        }
        let found = parked(way, 1).await;
        farm.mend();
        farm.pace(Duration::from_millis(50));
        unpin(way, "a").await?;
        operator(way).retry(&found[0]).await?;
        farm.log.of(100).await;
        free(way).await;
        let expected: Vec<_> = (0..100).map(|n| format!("a{n}")).collect();
        assert_eq!(farm.log.lines(), expected);
        for node in nodes {
            node.stop().await?;
        }
        Ok(())
    })
    .await
}
