//! A parked key waits, and only it.

use crate::{
    farm::{Farm, free, operator, parked, sow},
    support::way::{Verdict, Way, both_buses, until},
};
use callboard::{Bus, Retry, bus::StreamConfig};
use std::time::Duration;

#[tokio::test]
async fn a_key_whose_event_fails_waits_and_the_others_flow() -> Verdict {
    both_buses(async |way| {
        let farm = Farm::default();
        farm.spoil("a1");
        let node = farm.start(way).await?;
        sow(way, "a1 a2 b1 a3 b2").await?;
        let found = parked(way, 1).await;
        farm.log.of(2).await;
        sow(way, "a4 b3").await?;
        farm.log.of(3).await;
        farm.handled(&["b1", "b2", "b3"]);
        let key = &found[0];
        let told = (&*key.child, &*key.domain, &*key.key, &*key.kind);
        assert_eq!(told, ("barn/farmer", "farm", "a", "farm.sown"));
        assert_eq!(
            (key.sequence, key.attempts, &*key.reason),
            (1, 2, "drought")
        );
        let mut waiting = operator(way)
            .waiting(key)
            .await?
            .expect("there is a stream");
        let mut sequences = Vec::new();
        while let Some(stored) = waiting.next().await? {
            sequences.push(stored.sequence);
        }
        assert_eq!(sequences, [1, 2, 4, 6]);
        assert_eq!(way.dead_letters().await?.len(), 0);
        Ok(node.stop().await?)
    })
    .await
}

#[tokio::test]
async fn after_a_retry_all_that_waited_comes_in_order_and_then_the_key_flows() -> Verdict {
    both_buses(async |way| {
        let farm = Farm::default();
        farm.spoil("a1");
        let node = farm.start(way).await?;
        sow(way, "a1 a2 a3").await?;
        let found = parked(way, 1).await;
        farm.mend();
        operator(way).retry(&found[0]).await?;
        free(way).await;
        sow(way, "a4 a5").await?;
        farm.log.of(5).await;
        farm.handled(&["a1", "a2", "a3", "a4", "a5"]);
        Ok(node.stop().await?)
    })
    .await
}

#[tokio::test]
async fn what_fails_on_the_way_is_parked_again_where_it_failed() -> Verdict {
    both_buses(async |way| {
        let farm = Farm::default();
        farm.spoil("a1");
        let node = farm.start(way).await?;
        sow(way, "a1 a2 a3").await?;
        let found = parked(way, 1).await;
        farm.mend();
        farm.spoil("a2");
        operator(way).retry(&found[0]).await?;
        until("the second event parked", async || {
            let now = operator(way).parked().await.unwrap_or_default();
            now.iter()
                .any(|key| key.sequence == 2 && key.state.as_str() == "parked")
        })
        .await;
        farm.handled(&["a1"]);
        farm.mend();
        operator(way).retry(&parked(way, 1).await[0]).await?;
        farm.log.of(3).await;
        farm.handled(&["a1", "a2", "a3"]);
        Ok(node.stop().await?)
    })
    .await
}

#[tokio::test]
async fn a_parked_key_stays_so_over_a_restart_and_the_operator_need_not_wait_for_it() -> Verdict {
    both_buses(async |way| {
        let farm = Farm::default();
        farm.spoil("a1");
        farm.spoil("c1");
        let node = farm.start(way).await?;
        sow(way, "a1 a2 c1 c2").await?;
        let found = parked(way, 2).await;
        node.stop().await?;
        sow(way, "a3 b1").await?;
        operator(way).retry(&found[1]).await?;
        farm.mend();
        let node = farm.start(way).await?;
        farm.log.of(3).await;
        until("the other key free", async || {
            operator(way)
                .parked()
                .await
                .is_ok_and(|parked| parked.len() == 1)
        })
        .await;
        let mut lines = farm.log.lines();
        lines.sort();
        assert_eq!(lines, ["b1", "c1", "c2"]);
        operator(way).retry(&found[0]).await?;
        let lines = farm.log.of(6).await;
        assert_eq!(lines[3..], ["a1", "a2", "a3"]);
        Ok(node.stop().await?)
    })
    .await
}

#[tokio::test]
async fn ten_thousand_events_wait_in_the_stream_and_hold_nobody_up() -> Verdict {
    let way = Way::embedded(true);
    let farm = Farm::default();
    farm.spoil("a0");
    let node = farm.start(&way).await?;
    let client = way.client();
    for n in 0..10_000 {
        client.publish(crate::farm::sown("a", n)).await?;
    }
    // The consumer holds 256 at most: this one comes behind all of them.
    let same = (0..).map(|n| format!("x{n}"));
    let partition = |key: &str| callboard::bus::partition(key, 8);
    let other = same
        .into_iter()
        .find(|key| partition(key) == partition("a"));
    let other = other.expect("one of them is filed there");
    client.publish(crate::farm::sown(&other, 1)).await?;
    farm.log.of(1).await;
    farm.handled(&[&format!("{other}1")]);
    farm.mend();
    operator(&way).retry(&parked(&way, 1).await[0]).await?;
    let lines = farm.log.of(10_001).await;
    let expected: Vec<_> = (0..10_000).map(|n| format!("a{n}")).collect();
    assert_eq!(lines[1..], expected);
    free(&way).await;
    Ok(node.stop().await?)
}

#[tokio::test]
async fn order_that_means_nothing_needs_no_parking() -> Verdict {
    let way = Way::embedded(true);
    let farm = Farm::default();
    farm.spoil("a1");
    let once = Retry::new(1).then_discard();
    let group = callboard::Group::new("barn").child(farm.farmer().retry(once));
    let node = way.node("n").group(group).start().await?;
    sow(&way, "a1 a2").await?;
    farm.log.of(1).await;
    farm.handled(&["a2"]);
    assert_eq!(way.dead_letters().await?.len(), 1);
    assert!(operator(&way).parked().await?.is_empty());
    Ok(node.stop().await?)
}

#[tokio::test]
async fn an_operator_makes_no_stream() -> Verdict {
    let (bus, names) = (Bus::embedded(), "quiet".parse()?);
    let operator = callboard::call::Operator::new(bus.clone(), names);
    assert!(operator.parked().await?.is_empty());
    assert!(operator.dead(1, 10).await?.is_empty());
    assert!(bus.streams().await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn parking_and_release_are_events_in_a_stream_of_their_own() -> Verdict {
    let way = Way::embedded(true);
    let farm = Farm::default();
    farm.spoil("a1");
    let node = farm.start(&way).await?;
    sow(&way, "a1").await?;
    let found = parked(&way, 1).await;
    farm.mend();
    operator(&way).retry(&found[0]).await?;
    free(&way).await;
    let stream = way.bus.stream(&StreamConfig::parked(&way.names())).await?;
    let stored = stream.read(">", 1).await?.all().await?;
    let kinds: Vec<_> = stored
        .iter()
        .map(|stored| stored.headers.get("ce-type").unwrap_or_default())
        .collect();
    let told = ["parked", "retried", "draining", "released"];
    assert_eq!(kinds, told.map(|act| format!("callboard.{act}")));
    node.stop().await?;
    tokio::time::timeout(Duration::from_secs(5), free(&way)).await?;
    Ok(())
}

#[tokio::test]
async fn no_more_than_ten_thousand_keys_of_a_partition_are_parked_and_none_is_lost() -> Verdict {
    let way = Way::embedded(true);
    let farm = Farm::default();
    let mine = |key: &String| callboard::bus::partition(key, 8) == 0;
    let keys: Vec<_> = (0..)
        .map(|n| format!("k{n}"))
        .filter(mine)
        .take(10_003)
        .collect();
    let (bad, good) = keys.split_at(10_002);
    for key in bad {
        farm.spoil(&format!("{key}1"));
    }
    let retry = Retry::new(1);
    let group = callboard::Group::new("barn").child(farm.farmer().retry(retry));
    let node = way.node("n").group(group).start().await?;
    let client = way.client();
    for key in bad.iter().chain(good) {
        client.publish(crate::farm::sown(key, 1)).await?;
    }
    farm.log.of(1).await;
    farm.handled(&[&format!("{}1", good[0])]);
    // Keys are worked on side by side: the last bad ones may still be at it.
    until("as many keys parked as may be", async || {
        let parked = operator(&way).parked().await;
        parked.is_ok_and(|parked| parked.len() == 10_000)
    })
    .await;
    assert_eq!(way.dead_letters().await?.len(), 0);
    Ok(node.stop().await?)
}
