//! What a rebuild promises: the old model answers until the new one is there.

use crate::{
    library::{Gate, Lent, Returned, Tell, shelf},
    support::way::{SOON, Verdict, Way, both_buses, until},
};
use callboard::projection::{RebuildError, rebuild};

const PATH: &str = "library/shelf";

#[tokio::test]
async fn a_rebuilt_model_takes_the_place_of_the_live_one() -> Verdict {
    both_buses(async |way| {
        let (client, gate) = (way.client(), Gate::default());
        let node = way
            .node("n")
            .group(shelf(&gate).into_group())
            .start()
            .await?;
        for n in 0..40 {
            client.publish(Lent::of(&format!("b{n}"), "ada")).await?;
        }
        client.publish(Returned::of("b0")).await?;
        until("all in the model", async || {
            client
                .call(Tell)
                .await
                .is_ok_and(|told| (told.lent, told.returned) == (40, 1))
        })
        .await;
        assert_eq!(rebuild(&client, PATH, SOON).await, Ok(41));
        assert_eq!(gate.folded(), 80, "everything was folded again");
        let told = client.call(Tell).await?;
        assert_eq!((told.lent, told.returned, told.lag), (40, 1, 0));
        client.publish(Lent::of("b99", "ada")).await?;
        until("news in the new model", async || {
            client.call(Tell).await.is_ok_and(|told| told.lent == 41)
        })
        .await;
        assert_eq!(gate.folded(), 81, "the old model is followed no more");
        Ok(node.stop().await?)
    })
    .await
}

#[tokio::test]
async fn news_that_come_during_a_rebuild_are_folded_once() -> Verdict {
    let way = Way::embedded(true);
    let client = way.client();
    for n in 0..2_000 {
        client.publish(Lent::of(&format!("b{n}"), "ada")).await?;
    }
    let node = way
        .node("n")
        .group(shelf(&Gate::default()).into_group())
        .start()
        .await?;
    let other = way.client();
    let mut publishing = tokio::task::JoinSet::new();
    publishing.spawn(async move {
        for n in 0..2_000 {
            other.publish(Lent::of(&format!("c{n}"), "ada")).await?;
        }
        Ok::<(), callboard::PublishError>(())
    });
    for _ in 0..3 {
        rebuild(&client, PATH, SOON).await?;
        assert!(client.call(Tell).await?.lent >= 2_000);
    }
    while let Some(published) = publishing.join_next().await {
        published??;
    }
    until("all in the model", async || {
        client.call(Tell).await.is_ok_and(|told| told.lent >= 4_000)
    })
    .await;
    assert_eq!(client.call(Tell).await?.lent, 4_000);
    Ok(node.stop().await?)
}

#[tokio::test]
async fn a_rebuild_that_panics_leaves_the_live_model() -> Verdict {
    let way = Way::embedded(true);
    let (client, gate) = (way.client(), Gate::default());
    let node = way
        .node("n")
        .group(shelf(&gate).into_group())
        .start()
        .await?;
    client.publish(Lent::of("b1", "ada")).await?;
    until("it in the model", async || {
        client.call(Tell).await.is_ok_and(|told| told.lent == 1)
    })
    .await;
    gate.panics(1);
    let refused = rebuild(&client, PATH, SOON).await;
    assert!(
        matches!(&refused, Err(RebuildError::Refused { reason, .. }) if reason.contains("panicked")),
        "{refused:?}"
    );
    assert_eq!(client.call(Tell).await?.lent, 1);
    assert_eq!(crate::branch(&node).restarts, 0);
    assert_eq!(rebuild(&client, PATH, SOON).await, Ok(1));
    Ok(node.stop().await?)
}

#[tokio::test]
async fn a_rebuild_of_what_nobody_hosts_is_refused_at_once() -> Verdict {
    let way = Way::embedded(true);
    let refused = rebuild(&way.client(), "library/attic", SOON).await;
    let expected = RebuildError::NotHosted { path: "library/attic".into() };
    assert_eq!(refused, Err(expected));
    Ok(())
}
