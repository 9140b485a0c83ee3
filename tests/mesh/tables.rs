//! The routing table itself: what is refused, and how it is told.

use crate::{
    routes::table,
    support::way::{SOON, Verdict, Way, both_buses, until},
    yard::quick,
};
use callboard::{
    Actor, Answer, Command, Context, Failure, Group, Infallible, RouteTable, Subject,
    bus::Message,
    message::{Headers, codec},
    roster::Card,
};
use futures_util::future::join;
use serde::{Deserialize, Serialize};
use std::{
    sync::{Arc, Mutex, mpsc},
    time::{Duration, SystemTime},
};
use tokio::{
    sync::mpsc::{UnboundedReceiver, unbounded_channel},
    time::timeout,
};

#[tokio::test]
async fn a_table_that_many_ask_for_at_once_is_not_told_as_often() -> Verdict {
    both_buses(async |way| {
        let node = quick(way, "one").routes(table("")).start().await?;
        let roster = node.roster();
        let own = roster.cards()[0].instance.clone();
        let told = way.names().system("node.routes.table");
        let mut told = way.bus.subscribe(&told, None).await?;
        let to = |what: &str| way.names().system(&format!("ask.presence.{own}.{what}"));
        for _ in 0..50 {
            let asked = Message::new(to("routes"), codec::encode(&())?);
            way.bus.send(asked).await?;
        }
        // It answers in turn: with this answer all of the others have been given.
        let last = Message::new(to("ask"), codec::encode(&())?);
        way.bus.request(last, SOON).await?;
        let mut count = 0;
        while timeout(Duration::from_millis(200), told.next())
            .await
            .is_ok()
        {
            count += 1;
        }
        assert!((1..=10).contains(&count), "{count}");
        Ok(node.stop().await?)
    })
    .await
}

#[tokio::test]
async fn a_flawed_or_older_table_changes_nothing() -> Verdict {
    both_buses(async |way| {
        let node = quick(way, "one")
            .routes(RouteTable { version: 4, ..table("") })
            .start()
            .await?;
        for (routes, reason) in [
            (r#"{"to": "a.b.c"}"#, "neither a domain nor a command"),
            (r#"{"to": "a"}, {"to": "a"}"#, "two routes"),
            (
                r#"{"to": "a", "rule": [{"versions": {"one": 1}}]}"#,
                "no range of versions",
            ),
            (
                r#"{"to": "a", "rule": [{"versions": {"^1": 0}}]}"#,
                "no weight above 0",
            ),
            (r#"{"to": "a", "eject": {"most": 2.0}}"#, "use 0 to 1"),
            (
                r#"{"to": "a", "rule": [{"equals": "x", "versions": {"^1": 1}}]}"#,
                "say which `header` or `field`",
            ),
        ] {
            let refused = node
                .set_routes(&table(routes))
                .await
                .err()
                .map(|it| it.to_string());
            assert!(
                refused.as_ref().is_some_and(|it| it.contains(reason)),
                "{refused:?}"
            );
        }
        let older = node
            .set_routes(&RouteTable { version: 3, ..table("") })
            .await;
        let reason = "made from version 3, and 4 is there";
        assert!(older.is_err_and(|it| it.to_string().contains(reason)));
        assert_eq!(node.set_routes(&node.routes()).await?, 5);
        assert_eq!(node.set_routes(&table("")).await?, 6);
        Ok(node.stop().await?)
    })
    .await
}

#[tokio::test]
async fn two_who_set_a_table_at_once_get_two_versions_or_one_hears_that_it_lost() -> Verdict {
    both_buses(async |way| {
        let one = quick(way, "one").start().await?;
        let two = quick(way, "two").start().await?;
        until("each other", async || {
            one.roster().cards().len() == 2 && two.roster().cards().len() == 2
        })
        .await;
        let (a, b) = (
            table(r#"{"to": "porter"}"#),
            table(r#"{"to": "porter", "spread": "random"}"#),
        );
        for _ in 0..100 {
            let (first, second) = join(one.set_routes(&a), two.set_routes(&b)).await;
            let (first, second) = (first?, second?);
            let (last, winner) = if first > second {
                (first, &a)
            } else {
                (second, &b)
            };
            assert_ne!(first, second);
            let wanted = RouteTable { version: last, ..winner.clone() };
            let both = || one.routes() == wanted && two.routes() == wanted;
            until("the last one", async || both()).await;
            // Of two made from what is there, the second is refused.
            let from = |table: &RouteTable| RouteTable { version: last, ..table.clone() };
            let (a, b) = (from(&a), from(&b));
            let set = join(one.set_routes(&a), two.set_routes(&b)).await;
            let told = match set {
                (Ok(version), Err(error)) | (Err(error), Ok(version)) => {
                    (version, error.to_string())
                }
                both => return Err(format!("{both:?}").into()),
            };
            assert_eq!(told.0, last + 1);
            assert!(told.1.contains("is there by now"), "{}", told.1);
        }
        one.stop().await?;
        Ok(two.stop().await?)
    })
    .await
}

#[tokio::test]
async fn a_table_is_set_though_the_first_node_is_gone_without_a_word() -> Verdict {
    both_buses(async |way| {
        let node = quick(way, "node").start().await?;
        let card = serde_json::json!({
            "instance": "a-ghost", "node": "ghost", "revision": 1, "ttl_ms": 60_000,
            "services": [],
        });
        let card: Card = serde_json::from_value(card)?;
        let subject = way.names().system("node.presence.news.card");
        let said = Message::new(subject, codec::encode(&card)?);
        way.bus.send(said).await?;
        until("the ghost", async || node.roster().cards().len() == 2).await;
        assert_eq!(node.set_routes(&table("")).await?, 1);
        // One that hangs costs a moment.
        let to_ghost = way.names().system("node.routes.setter.a-ghost");
        let mut ghost = way.bus.subscribe(&to_ghost, None).await?;
        assert_eq!(node.set_routes(&table("")).await?, 2);
        ghost.next().await.ok_or("it is asked first")?;
        // One that is behind sets nothing for the others.
        let mut behind = async || -> Verdict {
            let asked = ghost.next().await.ok_or("it is asked again")?;
            let version = codec::encode(&serde_json::json!({"version": 2}))?;
            let reply = asked.reply.ok_or("who asks waits")?;
            Ok(way.bus.send(Message::new(reply, version)).await?)
        };
        let empty = table("");
        let (set, told) = join(node.set_routes(&empty), behind()).await;
        told?;
        assert_eq!(set?, 3);
        Ok(node.stop().await?)
    })
    .await
}

#[tokio::test]
async fn a_table_is_not_made_from_a_version_that_never_was() -> Verdict {
    both_buses(async |way| {
        let node = quick(way, "one").start().await?;
        let set = async |version| {
            let set = node.set_routes(&RouteTable { version, ..table("") }).await;
            set.map_err(|error| error.to_string())
        };
        for version in [1, 77, u64::from(u32::MAX)] {
            let refused = set(version).await.expect_err("nobody has made it");
            assert!(refused.contains("0 is the newest"), "{refused}");
        }
        let last = set(u64::MAX - 2).await.expect_err("nobody could change it");
        assert!(last.contains("leaves no room"), "{last}");
        assert_eq!((set(0).await?, set(1).await?), (1, 2));
        assert!(
            set(3)
                .await
                .is_err_and(|told| told.contains("2 is the newest"))
        );
        Ok(node.stop().await?)
    })
    .await
}

#[tokio::test]
async fn a_forged_version_does_not_keep_tables_from_being_set() -> Verdict {
    both_buses(async |way| {
        let (one, two) = (quick(way, "one"), quick(way, "two"));
        let (one, two) = (one.start().await?, two.start().await?);
        let subject = told(way);
        for version in [u64::MAX, u64::MAX - 1, i64::MAX as u64 - 2, 1 << 40] {
            let forged = RouteTable { version, ..table(r#"{"to": "forged"}"#) };
            let word = Message::new(&subject, codec::encode(&forged)?);
            way.bus.send(word).await?;
        }
        assert_eq!(one.set_routes(&table("")).await?, 1);
        assert_eq!(two.set_routes(&table("")).await?, 2);
        until("the last one", async || {
            one.routes().version == 2 && two.routes().version == 2
        })
        .await;
        // What is a little ahead may be true, and leaves room.
        let ahead = RouteTable { version: 500_000, ..table("") };
        way.bus
            .send(Message::new(&subject, codec::encode(&ahead)?))
            .await?;
        until("the one ahead", async || one.routes().version == 500_000).await;
        assert_eq!(one.set_routes(&table("")).await?, 500_001);
        one.stop().await?;
        Ok(two.stop().await?)
    })
    .await
}

fn told(way: &Way) -> String {
    way.names().system("node.routes.table")
}

/// Holds the thread of its actor, and so the node's own group beside it.
#[derive(Debug, Serialize, Deserialize)]
struct Hold;

impl Command for Hold {
    const SUBJECT: Subject = Subject::new("stone.hold");
    type Outcome = Result<(), Infallible>;
}

/// A group that holds its thread until it is let go, and says when it begins.
#[expect(
    clippy::significant_drop_tightening,
    reason = "it is held while it blocks"
)]
fn stone() -> (Group, UnboundedReceiver<()>, mpsc::Sender<()>) {
    let (entered, blocking) = unbounded_channel();
    let (release, released) = mpsc::channel::<()>();
    let released = Arc::new(Mutex::new(released));
    let hold = async move |(): &mut (), _: Hold, _: &Context| -> Answer<Hold> {
        entered.send(()).ok();
        let wait = released.lock().map(|released| released.recv_timeout(SOON));
        wait.expect("nobody panics").map_err(Failure::from)?;
        Ok(())
    };
    let stone = Actor::new("stone", async || Ok::<_, Failure>(())).answer(hold);
    (Group::new("stone").child(stone), blocking, release)
}

#[tokio::test]
async fn a_table_that_was_given_up_on_is_not_set_later() -> Verdict {
    both_buses(async |way| {
        let (group, mut blocking, release) = stone();
        let node = way.node("one").group(group).start().await?;
        let client = node.client();
        client.tell(Hold).await?;
        blocking.recv().await.ok_or("it holds its thread")?;
        let brief = Duration::from_millis(200);
        let until_ms = (SystemTime::UNIX_EPOCH.elapsed()? + brief).as_millis();
        let mut headers = Headers::new();
        headers.insert("cb-deadline", until_ms.to_string())?;
        let late = table(r#"{"to": "late"}"#);
        let order = Message::new(
            way.names().system("operator.routes.set"),
            codec::encode(&late)?,
        );
        let given_up = way.bus.request(order.headers(headers), brief).await;
        assert!(given_up.is_err(), "{given_up:?}");
        release.send(())?;
        let wanted = table(r#"{"to": "wanted"}"#);
        assert_eq!(node.set_routes(&wanted).await?, 1);
        assert_eq!(node.routes().routes, wanted.routes);
        // Nor is one that another passed on before it knew of the last.
        let own = node.roster().cards()[0].instance.clone();
        let passed = serde_json::json!({ "made_from": 0, "table": late });
        let to = way.names().system(&format!("node.routes.setter.{own}"));
        let passed = Message::new(to, codec::encode(&passed)?);
        let refused = way.bus.request(passed, SOON).await?;
        let reason = refused.headers.get("Nats-Service-Error");
        let is_told = |it: &str| it.contains("from version 0, and 1 is there");
        assert!(reason.is_some_and(is_told), "{reason:?}");
        assert_eq!(node.routes().routes, wanted.routes);
        Ok(node.stop().await?)
    })
    .await
}

#[tokio::test]
async fn a_table_of_a_newer_program_is_taken_without_what_this_one_does_not_know() -> Verdict {
    both_buses(async |way| {
        let node = quick(way, "one").start().await?;
        let newer = serde_json::json!({
            "version": 3, "weather": "fair",
            "route": [{"to": "till", "mood": {"good": true}, "eject": {"failures": 3, "x": 1}}],
        });
        way.bus
            .send(Message::new(told(way), codec::encode(&newer)?))
            .await?;
        until("the newer table", async || node.routes().version == 3).await;
        let known = table(r#"{"to": "till", "eject": {"failures": 3}}"#);
        assert_eq!(node.routes().routes, known.routes);
        // What a person orders is taken as a whole, or not at all.
        let order = way.names().system("operator.routes.set");
        let order = Message::new(order, codec::encode(&newer)?);
        let refused = way.bus.request(order, SOON).await?;
        let reason = refused.headers.get("Nats-Service-Error");
        assert!(
            reason.is_some_and(|it| it.contains("unknown field")),
            "{reason:?}"
        );
        Ok(node.stop().await?)
    })
    .await
}
