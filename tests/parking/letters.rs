//! Dead letters: what cannot be handled at all, and another try.

use crate::{
    farm::{Farm, operator, parked, sow},
    support::way::{Verdict, both_buses, until},
};
use callboard::{
    bus::{Message, StreamConfig},
    call::{LetterState, OperatorError},
};

#[tokio::test]
async fn what_cannot_be_read_is_a_dead_letter_and_parks_nothing() -> Verdict {
    both_buses(async |way| {
        let farm = Farm::default();
        farm.refuse("a1");
        let node = farm.start(way).await?;
        sow(way, "a1").await?;
        let subject = format!("{}.evt.farm.a", way.namespace);
        way.bus.send(Message::new(subject, "no event")).await?;
        sow(way, "a2").await?;
        farm.log.of(1).await;
        farm.handled(&["a2"]);
        let letters = operator(way).dead(1, 10).await?;
        let reasons: Vec<_> = letters.iter().map(|letter| &*letter.reason).collect();
        assert_eq!(reasons[0], "weeds");
        assert!(reasons[1].contains("has no `ce-type`"), "{reasons:?}");
        assert_eq!(
            (&*letters[0].child, &*letters[0].kind),
            ("barn/farmer", "farm.sown")
        );
        parked(way, 0).await;
        Ok(node.stop().await?)
    })
    .await
}

#[tokio::test]
async fn a_redriven_letter_goes_to_the_actor_that_gave_it_up_and_to_no_other() -> Verdict {
    both_buses(async |way| {
        let (farm, other) = (Farm::default(), Farm::default());
        farm.refuse("a1");
        let node = farm.start(way).await?;
        let barn = callboard::Group::new("shed").child(other.farmer());
        let second = way.node("m").group(barn).start().await?;
        sow(way, "a1 a2").await?;
        farm.log.of(1).await;
        other.log.of(2).await;
        let letters = operator(way).dead(1, 10).await?;
        let state = async || {
            operator(way)
                .dead(1, 10)
                .await
                .map(|mut all| all.remove(0).state)
        };

        operator(way).redrive(&letters[0]).await?;
        until("a second failure", async || {
            state()
                .await
                .is_ok_and(|state| matches!(state, LetterState::Failed { .. }))
        })
        .await;
        farm.mend();
        operator(way).redrive(&letters[0]).await?;
        until("the letter handled", async || {
            state()
                .await
                .is_ok_and(|state| state == LetterState::Handled)
        })
        .await;
        farm.handled(&["a2", "a1"]);
        other.handled(&["a1", "a2"]);
        let stream = way
            .bus
            .stream(&StreamConfig::events(&way.names(), "farm"))
            .await?;
        assert_eq!(stream.info().await?.messages, 2);
        assert_eq!(way.dead_letters().await?.len(), 1);
        second.stop().await?;
        Ok(node.stop().await?)
    })
    .await
}

#[tokio::test]
async fn a_letter_waits_for_its_node_and_is_asked_for_once() -> Verdict {
    both_buses(async |way| {
        let farm = Farm::default();
        farm.refuse("a1");
        let node = farm.start(way).await?;
        sow(way, "a1").await?;
        until("a letter", async || {
            operator(way)
                .dead(1, 10)
                .await
                .is_ok_and(|all| all.len() == 1)
        })
        .await;
        node.stop().await?;
        farm.mend();
        let letter = operator(way).dead(1, 10).await?.remove(0);
        operator(way).redrive(&letter).await?;
        let twice = operator(way).redrive(&letter).await;
        assert!(
            matches!(twice, Err(OperatorError::Asked { .. })),
            "{twice:?}"
        );
        let node = farm.start(way).await?;
        farm.log.of(1).await;
        farm.handled(&["a1"]);
        Ok(node.stop().await?)
    })
    .await
}
