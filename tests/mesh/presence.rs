//! Who is there is known soon, and who has gone is known as soon.

use crate::{
    support::way::{Verdict, Way, both_buses, until},
    yard::{HEARTBEAT, TTL, gate, nodes, quick, yard},
};
use callboard::{
    Group, GroupError, Node, NodeError, Query,
    bus::{Message, Subscription},
    message::codec,
    roster::{Card, Status, Version},
};
use serde::Serialize;
use serde_json::{Value, json};
use std::time::Instant;

#[tokio::test]
async fn who_starts_knows_the_others_and_is_known() -> Verdict {
    both_buses(async |way| {
        let one = quick(way, "one")
            .region("eu")
            .group(yard().tag("gold"))
            .start()
            .await?;
        let two = quick(way, "two")
            .version("0.9.1")
            .group(yard())
            .group(gate())
            .start()
            .await?;
        // What was there before is known at once, without waiting for a heartbeat.
        assert_eq!(nodes(&two.roster(), "yard"), ["one", "two"]);
        until("the newcomer", async || {
            nodes(&one.roster(), "gate") == ["two"]
        })
        .await;
        let roster = two.client().roster();
        let golden = roster.find(&Query::of("yard").tag("gold").region("eu"));
        let [golden] = &golden[..] else {
            unreachable!("{golden:?}")
        };
        assert_eq!(golden.node(), "one");
        assert_eq!(golden.service().version, Version::new(1, 4, 2));
        assert!(golden.service().answers.contains("yard.double"));
        assert_eq!(golden.service().reads("yard.barked"), Some(3));
        let gates = roster.find(&Query::of("gate"));
        assert_eq!(gates[0].service().version, Version::new(0, 9, 1));
        assert!(gates[0].service().depends_on.contains("yard"));
        let counted = roster.statistics();
        assert_eq!(
            (counted.services, counted.instances, counted.healthy),
            (2, 3, 3)
        );
        two.stop().await?;
        Ok(one.stop().await?)
    })
    .await
}

#[tokio::test]
async fn who_leaves_is_gone_at_once() -> Verdict {
    both_buses(async |way| {
        // With the usual heartbeat: nothing but the word of leaving can tell.
        let one = way.node("one").group(gate()).start().await?;
        let two = way.node("two").group(yard()).start().await?;
        until("the newcomer", async || {
            nodes(&one.roster(), "yard") == ["two"]
        })
        .await;
        let mut changes = one.roster().watch();
        two.stop().await?;
        until("the word of leaving", async || {
            one.roster().of("yard").is_empty()
        })
        .await;
        assert!(changes.next().await);
        Ok(one.stop().await?)
    })
    .await
}

#[tokio::test]
async fn a_node_that_was_started_anew_is_another_instance() -> Verdict {
    both_buses(async |way| {
        let watcher = quick(way, "watcher").group(gate()).start().await?;
        let roster = watcher.roster();
        let mut ids = Vec::new();
        for _ in 0..3 {
            let node = quick(way, "one").group(yard()).start().await?;
            until("the newcomer", async || nodes(&roster, "yard") == ["one"]).await;
            ids.extend(roster.of("yard").iter().map(|one| one.id().to_owned()));
            node.stop().await?;
        }
        ids.dedup();
        assert_eq!(ids.len(), 3, "{ids:?}");
        Ok(watcher.stop().await?)
    })
    .await
}

/// A card as a program in another language would write it.
fn stranger(ttl_ms: u64) -> Card {
    let card = json!({
        "instance": "stranger-1", "node": "stranger", "revision": 1, "ttl_ms": ttl_ms,
        "services": [{"name": "far", "version": "2.0.0", "status": "healthy"}],
    });
    serde_json::from_value(card).expect("a card")
}

#[test]
fn a_card_of_an_older_or_a_newer_program_is_read() {
    let mut card = serde_json::to_value(stranger(1_000)).expect("it is plain");
    card["services"][0]["status"] = "resting".into();
    card["services"][0]["mood"] = "good".into();
    let payload = codec::encode(&card).expect("it is short");
    let card: Card = codec::decode(&payload).expect("a card of a newer program");
    let service = &card.services[0];
    assert_eq!(service.status, Status::Unknown);
    assert!(!service.status.is_healthy());
    // A program from before schemas were told.
    assert_eq!(service.reads("far.seen"), None);
}

fn word(subject: String, word: &impl Serialize) -> Message {
    Message::new(subject, codec::encode(word).expect("it is short"))
}

#[tokio::test]
async fn who_falls_silent_is_gone_after_its_time_to_live() -> Verdict {
    both_buses(async |way| {
        let one = quick(way, "one").start().await?;
        let roster = one.roster();
        let ttl = u64::try_from(TTL.as_millis())?;
        let news = way.names().system("node.presence.news.card");
        let said = Instant::now();
        way.bus.send(word(news, &stranger(ttl))).await?;
        until("the stranger", async || {
            nodes(&roster, "far") == ["stranger"]
        })
        .await;
        until("its end", async || roster.of("far").is_empty()).await;
        let (passed, glance) = (said.elapsed(), HEARTBEAT / 10);
        assert!(passed >= TTL && passed < TTL * 2 + glance, "{passed:?}");
        Ok(one.stop().await?)
    })
    .await
}

#[tokio::test]
async fn who_is_heard_of_without_a_card_is_asked_for_it() -> Verdict {
    both_buses(async |way| {
        let one = quick(way, "one").start().await?;
        let roster = one.roster();
        let beat = way.names().system("node.presence.beat");
        let shows = way.names().system("ask.presence.stranger-1.show");
        let mut asked = way.bus.subscribe(&shows, None).await?;
        way.bus
            .send(word(
                beat,
                &json!({"instance": "stranger-1", "revision": 1}),
            ))
            .await?;
        assert!(asked.next().await.is_some());
        let news = way.names().system("node.presence.news.card");
        way.bus.send(word(news, &stranger(60_000))).await?;
        until("the stranger", async || {
            nodes(&roster, "far") == ["stranger"]
        })
        .await;
        let leave = way.names().system("node.presence.news.leave");
        way.bus
            .send(word(leave, &json!({"instance": "stranger-1"})))
            .await?;
        until("its end", async || roster.of("far").is_empty()).await;
        Ok(one.stop().await?)
    })
    .await
}

/// Answers one who starts with a part of what is known, and leaves.
async fn answer_and_leave(way: &Way, mut asked: Subscription) -> Verdict {
    let cards = ["a-1", "b-1"].map(|instance| Card {
        instance: instance.to_owned(),
        node: instance.to_owned(),
        ..stranger(60_000)
    });
    for (number, card) in cards.iter().enumerate() {
        let question = asked.next().await.ok_or("a question")?;
        let after: Value = codec::decode(&question.payload)?;
        assert_eq!(after["after"], ["", "a-1"][number]);
        let aged = json!({ "card": card, "age_ms": 0 });
        // The table is of a version to come: that is no reason not to hear the rest.
        let routes = json!({ "version": 7, "route": [], "weather": "fair" });
        let (by, more) = ("gone-1", number == 0);
        let page = json!({ "by": by, "cards": [aged], "more": more, "routes": routes });
        let to = question.reply.ok_or("somebody who waits")?;
        way.bus.send(word(to, &page)).await?;
    }
    Ok(())
}

#[tokio::test]
async fn who_starts_hears_of_all_even_if_who_answers_leaves_meanwhile() -> Verdict {
    both_buses(async |way| {
        let ask = way.names().system("ask.presence");
        let asked = way.bus.subscribe(&ask, Some("roster")).await?;
        let starting = quick(way, "one").start();
        let (answered, one) = tokio::join!(answer_and_leave(way, asked), starting);
        answered?;
        let one = one?;
        assert_eq!(nodes(&one.roster(), "far"), ["a-1", "b-1"]);
        Ok(one.stop().await?)
    })
    .await
}

#[tokio::test]
async fn a_card_that_names_no_instance_is_not_believed() -> Verdict {
    both_buses(async |way| {
        let one = quick(way, "one").start().await?;
        let news = way.names().system("node.presence.news.card");
        let long = "x".repeat(1_000);
        for instance in ["", "a.b", "a b", "*", "a\n", &long] {
            let card = Card { instance: instance.to_owned(), ..stranger(60_000) };
            way.bus.send(word(news.clone(), &card)).await?;
        }
        let last = Card { node: "last".to_owned(), ..stranger(60_000) };
        way.bus.send(word(news, &last)).await?;
        until("the last", async || nodes(&one.roster(), "far") == ["last"]).await;
        Ok(one.stop().await?)
    })
    .await
}

#[tokio::test]
async fn what_makes_no_sense_changes_nothing() -> Verdict {
    both_buses(async |way| {
        let one = quick(way, "one").group(yard()).start().await?;
        for what in [
            "node.presence.news.card",
            "node.presence.news.leave",
            "node.presence.news.else",
            "node.presence.beat",
            "node.presence.digest",
            "ask.presence",
            "ask.presence.one.show",
        ] {
            let subject = way.names().system(what);
            way.bus
                .send(Message::new(subject.clone(), &b"\xc1"[..]))
                .await?;
            way.bus.send(word(subject, &json!([1, 2, 3]))).await?;
        }
        let two = quick(way, "two").start().await?;
        assert_eq!(nodes(&two.roster(), "yard"), ["one"]);
        two.stop().await?;
        Ok(one.stop().await?)
    })
    .await
}

#[tokio::test]
async fn what_a_node_says_of_itself_is_checked_and_the_cure_is_told() -> Verdict {
    both_buses(async |way| {
        let refused = async |node: Node| node.start().await.err();
        let odd = refused(way.node("one").version("one")).await;
        assert!(matches!(odd, Some(NodeError::Version { .. })), "{odd:?}");
        let odd = refused(way.node("one").region("e u.*>")).await;
        assert!(matches!(odd, Some(NodeError::Region { .. })), "{odd:?}");
        let fine = async || Ok::<(), &str>(());
        for (group, why) in [
            (yard().version("1.4"), "`yard` has the version `1.4`"),
            (Group::new("mesh"), "`mesh` is reserved by the runtime"),
            (yard().tag(""), "`yard` has the tag ``"),
            (
                yard().depends_on("no such!"),
                "`yard` depends on `no such!`",
            ),
            (
                yard().metadata("weight", "heavy"),
                "`yard` has the weight `heavy`",
            ),
            (
                yard().healthy_if("bowl", fine).healthy_if("bowl", fine),
                "`yard` has the check `bowl` twice",
            ),
        ] {
            let odd = refused(way.node("one").group(group)).await;
            let said = odd.as_ref().map(ToString::to_string).unwrap_or_default();
            assert!(matches!(odd, Some(NodeError::Group(_))), "{odd:?}");
            let cured = said.contains("use ") || said.contains("such as") || said.contains("give");
            assert!(said.contains(why) && cured, "{said}");
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_group_that_says_more_than_others_could_hear_does_not_start() -> Verdict {
    both_buses(async |way| {
        let long = |bytes: usize| "x".repeat(bytes);
        let node = way.node("one").group(gate());
        let refused = node.group(yard().metadata("map", long(300_000))).start();
        match refused.await.err() {
            Some(NodeError::Group(GroupError::SaysTooMuch { path, bytes, limit })) => {
                assert!(path == "yard" && bytes > 300_000 && limit == 12 * 1024);
            }
            odd => unreachable!("{odd:?}"),
        }
        // What starts is heard of.
        let one = quick(way, "one").start().await?;
        let two = quick(way, "two").group(yard().metadata("map", long(11_000)));
        let two = two.start().await?;
        until("the large one", async || {
            nodes(&one.roster(), "yard") == ["two"]
        })
        .await;
        two.stop().await?;
        Ok(one.stop().await?)
    })
    .await
}
