//! The routing table itself: what is refused, and how it is told.

use crate::{
    routes::table,
    support::way::{SOON, Verdict, both_buses},
    yard::quick,
};
use callboard::{RouteTable, bus::Message, message::codec};
use std::time::Duration;
use tokio::time::timeout;

#[tokio::test]
async fn a_table_that_many_ask_for_at_once_is_not_told_as_often() -> Verdict {
    both_buses(async |way| {
        let node = quick(way, "one").routes(table("")).start().await?;
        let roster = node.roster();
        let own = roster.cards()[0].instance.clone();
        let told = way.names().system("routes.table");
        let mut told = way.bus.subscribe(&told, None).await?;
        let to = |what: &str| way.names().system(&format!("presence.to.{own}.{what}"));
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
            (r#"{"to": "a", "eject": {"most": 2.0}}"#, "from 0 to 1"),
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
            .set_routes(&RouteTable { version: 4, ..table("") })
            .await;
        assert!(older.is_err_and(|it| it.to_string().contains("use 5")));
        assert_eq!(node.set_routes(&table("")).await?, 5);
        Ok(node.stop().await?)
    })
    .await
}
