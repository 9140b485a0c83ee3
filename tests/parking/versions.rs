//! An event of a newer version is not for the program that runs, but for the next.

use crate::{
    farm::{Farm, SHORT, free, operator, parked, sow},
    support::{
        log::Log,
        way::{Verdict, both_buses},
    },
};
use callboard::{
    Actor, Context, Event, Failure, Group, Retry, Subject,
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

impl Updated {
    async fn sown(&mut self, sown: SownLater, _: &Context) -> Result<(), Failure> {
        self.0.note(format!("{}{}", sown.field, sown.row));
        Ok(())
    }
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
