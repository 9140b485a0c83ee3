//! A partition goes to another node: what the one before held comes first.

use crate::{
    farm::{Farm, free, operator, parked, sown},
    support::way::{Verdict, Way, both_buses},
};
use callboard::bus::{ConsumerConfig, StreamConfig, partition};
use std::{error::Error, time::Duration};
use tokio::time::{Instant, sleep};

/// Longer than the ack wait of what was held.
const LONG: Duration = Duration::from_mins(1);

/// Returns keys that are filed in one partition.
fn neighbours(count: usize) -> Vec<String> {
    let keys = (0..).map(|n| format!("k{n}."));
    let keys = keys.map(|key| key.replace('.', ""));
    keys.filter(|key| partition(key, 8) == 3)
        .take(count)
        .collect()
}

/// Takes so many events as a reader of the farmer would, handles the one at
/// `handled` and is gone without a word on the others.
async fn die_with(way: &Way, count: usize, handled: usize) -> Result<(), Box<dyn Error>> {
    let stream = way
        .bus
        .stream(&StreamConfig::events(&way.names(), "farm"))
        .await?;
    let mut config = ConsumerConfig::new("barn_farmer_3");
    config.partition = Some(3);
    // On NATS the wait follows the next reader's declaration.
    config.ack_wait = Duration::from_secs(2);
    config.max_ack_pending = 256;
    config.pinned = true;
    let mut consumer = stream.consumer(&config).await?;
    for at in 0..count {
        let delivery = consumer.next().await?;
        if at == handled {
            delivery.ack_confirmed().await?;
        }
    }
    Ok(())
}

async fn until(farm: &Farm, what: &str, mut is_so: impl FnMut(&[String]) -> bool) {
    let deadline = Instant::now() + LONG;
    while !is_so(&farm.log.lines()) {
        assert!(
            Instant::now() < deadline,
            "no {what}: {:?}",
            farm.log.lines()
        );
        sleep(Duration::from_millis(10)).await;
    }
}

async fn order_survives_a_dead_reader(way: &Way) -> Verdict {
    let keys = neighbours(3);
    let [a, b, c] = &keys[..] else {
        unreachable!("three were asked for")
    };
    let client = way.client();
    for (key, n) in [(a, 1), (b, 1), (a, 2)] {
        client.publish(sown(key, n)).await?;
    }
    die_with(way, 3, 1).await?;
    for (key, n) in [(a, 3), (c, 1), (a, 4)] {
        client.publish(sown(key, n)).await?;
    }
    let farm = Farm::default();
    let node = farm.start(way).await?;
    until(&farm, "event of another key", |lines| {
        lines.contains(&format!("{c}1"))
    })
    .await;
    until(&farm, "end", |lines| lines.contains(&format!("{a}4"))).await;
    let lines = farm.log.lines();
    let of_a: Vec<_> = lines.iter().filter(|line| line.starts_with(&**a)).collect();
    assert_eq!(
        of_a,
        [1, 2, 3, 4]
            .map(|n| format!("{a}{n}"))
            .iter()
            .collect::<Vec<_>>()
    );
    assert_eq!(
        lines[0],
        format!("{c}1"),
        "a key of which nothing was held does not wait"
    );
    assert!(
        !lines.contains(&format!("{b}1")),
        "what was handled is not handled again"
    );
    Ok(node.stop().await?)
}

#[tokio::test]
async fn order_per_key_survives_a_reader_that_dies_embedded() -> Verdict {
    order_survives_a_dead_reader(&Way::embedded(true)).await
}

#[tokio::test]
async fn order_per_key_survives_a_reader_that_dies_on_nats() -> Verdict {
    order_survives_a_dead_reader(&Way::nats(true).await?).await
}

#[tokio::test]
async fn what_waits_goes_on_at_another_node_where_the_first_one_stopped() -> Verdict {
    both_buses(async |way| {
        let farm = Farm::default();
        farm.spoil("a0");
        let node = farm.start(way).await?;
        let client = way.client();
        for n in 0..2_000 {
            client.publish(sown("a", n)).await?;
        }
        let found = parked(way, 1).await;
        farm.mend();
        operator(way).retry(&found[0]).await?;
        farm.log.of(50).await;
        node.stop().await?;
        let node = farm.start(way).await?;
        farm.log.of(2_000).await;
        free(way).await;
        let expected: Vec<_> = (0..2_000).map(|n| format!("a{n}")).collect();
        assert_eq!(farm.log.lines(), expected);
        Ok(node.stop().await?)
    })
    .await
}

#[tokio::test]
async fn of_two_nodes_one_lets_a_key_go_on() -> Verdict {
    both_buses(async |way| {
        let farm = Farm::default();
        farm.spoil("a0");
        let first = farm.start(way).await?;
        let second = way.node("m").group(farm.group()).start().await?;
        let client = way.client();
        for n in 0..200 {
            client.publish(sown("a", n)).await?;
        }
        let found = parked(way, 1).await;
        farm.mend();
        operator(way).retry(&found[0]).await?;
        free(way).await;
        client.publish(sown("a", 200)).await?;
        farm.log.of(201).await;
        let expected: Vec<_> = (0..201).map(|n| format!("a{n}")).collect();
        assert_eq!(farm.log.lines(), expected);
        first.stop().await?;
        Ok(second.stop().await?)
    })
    .await
}
