//! An event of a newer version is not for the program that runs, but for the next.

use crate::{
    farm::{Farm, SHORT, free, operator, parked, sow},
    support::{
        log::Log,
        way::{Verdict, both_buses, until},
    },
};
use callboard::{
    Actor, Context, Event, Failure, Group, Query, Retry, Subject,
    message::{EventError, Older},
};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// What was sown, as a newer program writes it.
#[derive(Debug, Serialize, Deserialize)]
struct SownLater {
    field: String,
    row: u32,
}

#[derive(Deserialize)]
struct SownFirst {
    field: String,
    n: u32,
}

impl Event for SownLater {
    const SUBJECT: Subject = Subject::new("farm.sown");
    const VERSION: u32 = 2;

    fn key(&self) -> Cow<'_, str> {
        (&self.field).into()
    }

    fn upcast(older: Older<'_>) -> Result<Self, EventError> {
        let SownFirst { field, n } = older.read()?;
        Ok(Self { field, row: n })
    }
}

struct Updated(Log);

/// A type that only the newer program knows.
#[derive(Debug, Serialize, Deserialize)]
struct Reaped {
    field: String,
}

impl Event for Reaped {
    const SUBJECT: Subject = Subject::new("farm.reaped");

    fn key(&self) -> Cow<'_, str> {
        (&self.field).into()
    }
}

impl Updated {
    async fn sown(&mut self, sown: SownLater, _: &Context) -> Result<(), Failure> {
        self.0.note(format!("{}{}", sown.field, sown.row));
        Ok(())
    }
}

impl Updated {
    async fn reaped(&mut self, reaped: Reaped, _: &Context) -> Result<(), Failure> {
        self.0.note(format!("{} reaped", reaped.field));
        Ok(())
    }
}

#[tokio::test]
async fn in_a_rolling_deploy_what_only_the_newer_program_knows_goes_to_it() -> Verdict {
    both_buses(async |way| {
        let farm = Farm::default();
        let old = farm.start(way).await?;
        // Each is filed in another partition, and the old program reads them all.
        let keys = ["a", "b", "c", "d", "e", "f", "g", "h"];
        for key in keys {
            sow(way, &format!("{key}1")).await?;
        }
        farm.log.of(keys.len()).await;
        let log = Log::default();
        let noting = log.clone();
        let farmer = Actor::new("farmer", async move || Ok(Updated(noting.clone())))
            .on(Updated::sown)
            .on(Updated::reaped);
        let new = way.node("m").group(Group::new("barn").child(farmer));
        let new = new.start().await?;
        until("the newer program known", async || {
            let roster = old.client().roster();
            roster.find(&Query::of("barn")).len() == 2
        })
        .await;
        let client = way.client();
        for key in keys {
            let later = SownLater { field: key.into(), row: 2 };
            client.publish(later).await?;
            client.publish(Reaped { field: key.into() }).await?;
        }
        let mut lines = log.of(2 * keys.len()).await;
        lines.sort();
        let expected = keys
            .iter()
            .flat_map(|key| [format!("{key} reaped"), format!("{key}2")]);
        assert_eq!(lines, expected.collect::<Vec<_>>());
        parked(way, 0).await;
        assert_eq!(way.dead_letters().await?.len(), 0);
        old.stop().await?;
        Ok(new.stop().await?)
    })
    .await
}

#[tokio::test]
async fn an_event_of_a_newer_program_waits_for_one_and_its_key_with_it() -> Verdict {
    both_buses(async |way| {
        let farm = Farm::default();
        let node = farm.start(way).await?;
        let later = SownLater { field: "a".into(), row: 1 };
        way.client().publish(later).await?;
        sow(way, "a2 b1").await?;
        let found = parked(way, 1).await;
        assert!(
            found[0].reason.contains("is of version 2"),
            "{}",
            found[0].reason
        );
        farm.log.of(1).await;
        farm.handled(&["b1"]);
        assert_eq!(way.dead_letters().await?.len(), 0);
        node.stop().await?;
        let log = Log::default();
        let noting = log.clone();
        let farmer = Actor::new("farmer", async move || Ok(Updated(noting.clone())))
            .on(Updated::sown)
            .retry(Retry::new(2).backoff(SHORT, SHORT));
        let node = way
            .node("n")
            .group(Group::new("barn").child(farmer))
            .start()
            .await?;
        operator(way).retry(&found[0]).await?;
        free(way).await;
        assert_eq!(log.of(2).await, ["a1", "a2"]);
        Ok(node.stop().await?)
    })
    .await
}
