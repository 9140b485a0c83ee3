//! Several nodes with the same groups: they share the work, and take over.

use crate::{
    farm::{Farm, Sown, Who},
    support::{
        log::Log,
        way::{Verdict, both_buses, every_way, until},
    },
};
use callboard::{CallError, Client};
use std::collections::{BTreeMap, BTreeSet};

const FIELDS: u32 = 10;
const EACH: u32 = 15;

async fn sow(client: &Client, numbers: std::ops::Range<u32>) -> Verdict {
    for number in numbers {
        for field in 0..FIELDS {
            client
                .publish(Sown { field: format!("f{field}"), number })
                .await?;
        }
    }
    Ok(())
}

/// Returns the numbers of each field, in the order they were handled.
fn harvest(log: &Log) -> BTreeMap<String, Vec<u32>> {
    let mut fields: BTreeMap<String, Vec<u32>> = BTreeMap::new();
    for line in log.lines() {
        let Some((field, number)) = line.split_once(' ') else {
            continue;
        };
        if let Ok(number) = number.parse() {
            fields.entry(field.to_owned()).or_default().push(number);
        }
    }
    fields
}

fn total(log: &Log) -> usize {
    harvest(log).values().map(Vec::len).sum()
}

#[tokio::test]
async fn two_nodes_answer_for_one_domain_in_turn() -> Verdict {
    every_way(async |way| {
        let log = Log::default();
        let one = way
            .node("one")
            .group(Farm::new("one", &log).group("farm"))
            .start()
            .await?;
        let two = way
            .node("two")
            .group(Farm::new("two", &log).group("farm"))
            .start()
            .await?;
        let client = way.client();
        let mut heard = BTreeSet::new();
        until("answers of both", async || {
            heard.extend(client.call(Who).await);
            heard.len() == 2
        })
        .await;
        let own = one.client().call(Who).await?;
        assert!(!way.prefer_local || own == "one", "{own}");
        one.stop().await?;
        for _ in 0..10 {
            assert_eq!(client.call(Who).await?, "two");
        }
        two.stop().await?;
        let gone = client.call(Who).await;
        assert!(
            matches!(gone, Err(CallError::NoResponders { .. })),
            "{gone:?}"
        );
        Ok(())
    })
    .await
}

#[tokio::test]
async fn each_group_hears_an_event_once_and_in_order_per_key() -> Verdict {
    both_buses(async |way| {
        let (farm, press) = (Log::default(), Log::default());
        let one = way
            .node("one")
            .group(Farm::new("one", &farm).group("farm"))
            .group(Farm::new("one", &press).listener("press"))
            .start()
            .await?;
        let two = way
            .node("two")
            .group(Farm::new("two", &farm).group("farm"))
            .group(Farm::new("two", &press).listener("press"))
            .start()
            .await?;
        sow(&way.client(), 0..EACH).await?;
        let expected: Vec<_> = (0..EACH).collect();
        for log in [&farm, &press] {
            until("all events", async || {
                total(log) >= (FIELDS * EACH) as usize
            })
            .await;
            let fields = harvest(log);
            assert_eq!(fields.len(), FIELDS as usize);
            for (field, numbers) in fields {
                assert_eq!(numbers, expected, "{field}");
            }
        }
        one.stop().await?;
        Ok(two.stop().await?)
    })
    .await
}

#[tokio::test]
async fn when_a_node_goes_the_other_takes_its_partitions_over() -> Verdict {
    both_buses(async |way| {
        let log = Log::default();
        let one = way
            .node("one")
            .group(Farm::new("one", &log).group("farm"))
            .start()
            .await?;
        let two = way
            .node("two")
            .group(Farm::new("two", &log).group("farm"))
            .start()
            .await?;
        let client = way.client();
        sow(&client, 0..EACH).await?;
        drop(one);
        sow(&client, EACH..2 * EACH).await?;
        until("all events", async || {
            total(&log) >= (2 * FIELDS * EACH) as usize
        })
        .await;
        for (field, numbers) in harvest(&log) {
            let distinct: BTreeSet<_> = numbers.iter().copied().collect();
            assert_eq!(distinct.len(), 2 * EACH as usize, "{field}: {numbers:?}");
            assert!(numbers.is_sorted(), "{field}: {numbers:?}");
        }
        Ok(two.stop().await?)
    })
    .await
}
