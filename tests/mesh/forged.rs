//! What somebody else says in a node's name does not last.

use crate::{
    support::way::{SOON, Verdict, Way, both_buses, until},
    yard::{gate, nodes, quick, yard},
};
use callboard::{Running, bus::Message, message::codec, roster::Card};
use serde::Serialize;
use serde_json::json;
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};
use tokio::time::timeout;

async fn say(way: &Way, what: &str, word: &impl Serialize) -> Verdict {
    let subject = way.names().system(&format!("node.presence.news.{what}"));
    Ok(way
        .bus
        .send(Message::new(subject, codec::encode(word)?))
        .await?)
}

/// Starts two nodes that know one another, with the usual heartbeat: they say nothing by
/// themselves for a while.
async fn two(way: &Way) -> Result<(Running, Running), Box<dyn std::error::Error>> {
    let one = way.node("one").group(gate()).start().await?;
    let two = way.node("two").group(yard()).start().await?;
    until("each other", async || {
        nodes(&one.roster(), "yard") == ["two"]
    })
    .await;
    Ok((one, two))
}

fn card_of(one: &Running, node: &str) -> Card {
    let cards = one.roster().cards();
    let card = cards.iter().find(|card| card.node == node);
    Card::clone(card.expect("it is known"))
}

#[tokio::test]
async fn a_node_that_others_said_has_left_is_found_again_at_once() -> Verdict {
    both_buses(async |way| {
        let (one, two) = two(way).await?;
        let card = card_of(&one, "two");
        let mut changes = one.roster().watch();
        let said = Instant::now();
        say(way, "leave", &json!({ "instance": card.instance })).await?;
        assert!(changes.next().await, "it is believed at first");
        until("its answer", async || {
            nodes(&one.roster(), "yard") == ["two"]
        })
        .await;
        assert!(said.elapsed() < Duration::from_secs(4), "it answered");
        assert!(card_of(&one, "two").revision > card.revision);
        two.stop().await?;
        until("the word of leaving", async || {
            one.roster().of("yard").is_empty()
        })
        .await;
        Ok(one.stop().await?)
    })
    .await
}

#[tokio::test]
async fn a_node_outgrows_what_others_said_that_it_is() -> Verdict {
    both_buses(async |way| {
        let (one, two) = two(way).await?;
        let card = card_of(&one, "two");
        for ahead in [10, 1 << 31] {
            let revision = card.revision + ahead;
            let forged = Card { revision, services: Vec::new(), ..card.clone() };
            let mut changes = one.roster().watch();
            say(way, "card", &forged).await?;
            assert!(changes.next().await, "it is believed at first");
            until("what it says itself", async || {
                nodes(&one.roster(), "yard") == ["two"]
            })
            .await;
        }
        two.stop().await?;
        Ok(one.stop().await?)
    })
    .await
}

#[tokio::test]
async fn a_card_that_no_node_would_say_of_itself_is_not_taken() -> Verdict {
    both_buses(async |way| {
        let (one, two) = two(way).await?;
        let card = card_of(&one, "two");
        let far = Card { revision: u64::MAX, services: Vec::new(), ..card.clone() };
        say(way, "card", &far).await?;
        let stranger = |name: &str, long: usize| {
            let metadata = BTreeMap::from([("x".to_owned(), "y".repeat(long))]);
            let mut card = card.clone();
            (card.instance, card.node) = (format!("{name}-1"), name.to_owned());
            card.services[0].metadata = metadata;
            card
        };
        say(way, "card", &stranger("long", 16 * 1024)).await?;
        let silent = Card { ttl_ms: 3_600_001, ..stranger("silent", 0) };
        say(way, "card", &silent).await?;
        let forever = Card { ttl_ms: u64::MAX, ..stranger("forever", 0) };
        say(way, "card", &forever).await?;
        let last = Card { ttl_ms: 3_600_000, ..stranger("last", 12 * 1024) };
        say(way, "card", &last).await?;
        until("the last", async || {
            nodes(&one.roster(), "yard") == ["last", "two"]
        })
        .await;
        two.stop().await?;
        Ok(one.stop().await?)
    })
    .await
}

/// Says that a node lives that nobody knows.
async fn beat(way: &Way, instance: &str) -> Verdict {
    let subject = way.names().system("node.presence.beat");
    let word = codec::encode(&json!({ "instance": instance, "revision": 1 }))?;
    Ok(way.bus.send(Message::new(subject, word)).await?)
}

#[tokio::test]
async fn a_node_is_not_asked_for_its_card_under_a_name_that_no_node_can_have() -> Verdict {
    both_buses(async |way| {
        let one = quick(way, "one").group(gate()).start().await?;
        let asked = way.names().system("ask.presence.>");
        let mut asked = way.bus.subscribe(&asked, None).await?;
        // A server closes the connection of who publishes on a subject of 4 KiB.
        let long = "x".repeat(8 * 1024);
        let digest = json!({
            "by": &long, "routes": 7, "print": 7,
            "seen": [{ "instance": &long, "revision": 1, "age_ms": 0 }]
        });
        let told = way.names().system("node.presence.digest");
        for number in 0..20 {
            beat(way, &long).await?;
            beat(way, "two.words").await?;
            let digest = codec::encode(&digest)?;
            way.bus.send(Message::new(told.as_str(), digest)).await?;
            let stranger = format!("stranger-{number}");
            beat(way, &stranger).await?;
            let of_it = format!(".{stranger}.show");
            loop {
                let question = timeout(SOON, asked.next()).await?.ok_or("a question")?;
                let subject = question.subject;
                assert!(subject.len() < 200, "{} bytes", subject.len());
                assert!(!subject.contains("words"), "{subject}");
                if subject.ends_with(&of_it) {
                    break;
                }
            }
        }
        Ok(one.stop().await?)
    })
    .await
}
