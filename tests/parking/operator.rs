//! Skip, amend, and what the operator is told when it cannot be so.

use crate::{
    farm::{Farm, free, operator, parked, sow, sown},
    support::way::{Verdict, Way, both_buses, until},
};
use callboard::{call::OperatorError, message::codec};

#[tokio::test]
async fn a_skipped_event_is_left_out_and_the_rest_comes_in_order() -> Verdict {
    both_buses(async |way| {
        let farm = Farm::default();
        farm.spoil("a2");
        let node = farm.start(way).await?;
        sow(way, "a1 a2 a3 a4").await?;
        let found = parked(way, 1).await;
        operator(way).skip(&found[0], "it will never rain").await?;
        free(way).await;
        sow(way, "a5").await?;
        farm.log.of(4).await;
        farm.handled(&["a1", "a3", "a4", "a5"]);
        Ok(node.stop().await?)
    })
    .await
}

#[tokio::test]
async fn an_amended_event_is_handled_with_the_other_payload_once() -> Verdict {
    both_buses(async |way| {
        let farm = Farm::default();
        farm.spoil("a1");
        farm.spoil("a7");
        let node = farm.start(way).await?;
        sow(way, "a1 a2").await?;
        let found = parked(way, 1).await;
        operator(way)
            .amend(&found[0], codec::encode(&sown("a", 7))?)
            .await?;
        let again = until("it to be parked again", async || {
            let now = operator(way).parked().await.unwrap_or_default();
            now.iter()
                .any(|key| key.amended.is_some() && key.state.as_str() == "parked")
        });
        again.await;
        farm.mend();
        // What was amended stays so until the event is handled.
        operator(way).retry(&parked(way, 1).await[0]).await?;
        free(way).await;
        sow(way, "a1").await?;
        farm.log.of(3).await;
        farm.handled(&["a7", "a2", "a1"]);
        Ok(node.stop().await?)
    })
    .await
}

#[tokio::test]
async fn what_was_amended_to_something_unreadable_is_parked_again() -> Verdict {
    both_buses(async |way| {
        let farm = Farm::default();
        farm.spoil("a1");
        let node = farm.start(way).await?;
        sow(way, "a1 a2").await?;
        let found = parked(way, 1).await;
        operator(way).amend(&found[0], codec::encode(&42)?).await?;
        until("it to be parked again", async || {
            let now = operator(way).parked().await.unwrap_or_default();
            now.iter()
                .any(|key| key.amended.is_some() && key.state.as_str() == "parked")
        })
        .await;
        assert_eq!(way.dead_letters().await?.len(), 0);
        operator(way)
            .amend(&parked(way, 1).await[0], codec::encode(&sown("a", 7))?)
            .await?;
        free(way).await;
        farm.handled(&["a7", "a2"]);
        Ok(node.stop().await?)
    })
    .await
}

#[tokio::test]
async fn of_two_operators_one_is_told_that_the_other_was_faster() -> Verdict {
    let way = Way::embedded(true);
    let farm = Farm::default();
    farm.spoil("a1");
    let node = farm.start(&way).await?;
    sow(&way, "a1").await?;
    let found = parked(&way, 1).await;
    operator(&way).retry(&found[0]).await?;
    let second = operator(&way).skip(&found[0], "late").await;
    assert!(matches!(second, Err(OperatorError::Changed)), "{second:?}");
    Ok(node.stop().await?)
}

#[tokio::test]
async fn the_operator_may_think_better_of_it_before_a_node_begins() -> Verdict {
    let way = Way::embedded(true);
    let farm = Farm::default();
    farm.spoil("a1");
    let node = farm.start(&way).await?;
    sow(&way, "a1 a2").await?;
    let found = parked(&way, 1).await;
    node.stop().await?;
    operator(&way).retry(&found[0]).await?;
    let now = operator(&way).parked().await?;
    assert_eq!(now[0].state.as_str(), "retried");
    operator(&way).skip(&now[0], "after all").await?;
    let node = farm.start(&way).await?;
    farm.log.of(1).await;
    free(&way).await;
    farm.handled(&["a2"]);
    Ok(node.stop().await?)
}

#[tokio::test]
async fn many_keys_that_are_retried_at_once_all_go_on_each_in_order() -> Verdict {
    let way = Way::embedded(true);
    let farm = Farm::default();
    let keys: Vec<_> = (0..300).map(|n| format!("k{n}-")).collect();
    let node = farm.start(&way).await?;
    let client = way.client();
    for n in 0..3 {
        for key in &keys {
            farm.spoil(&format!("{key}0"));
            client.publish(sown(key, n)).await?;
        }
    }
    let found = parked(&way, keys.len()).await;
    farm.mend();
    for key in &found {
        operator(&way).retry(key).await?;
    }
    free(&way).await;
    let lines = farm.log.lines();
    assert_eq!(lines.len(), 900);
    for key in &keys {
        let of_key: Vec<_> = lines
            .iter()
            .filter(|line| line.starts_with(&**key))
            .collect();
        assert_eq!(
            of_key,
            [0, 1, 2]
                .map(|n| format!("{key}{n}"))
                .iter()
                .collect::<Vec<_>>()
        );
    }
    Ok(node.stop().await?)
}
