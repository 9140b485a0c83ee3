//! Listeners that are new, and the events from before they were there.

use crate::support::{
    log::Log,
    way::{Verdict, Way, both_buses, until},
};
use callboard::{
    Abort, Actor, Context, Event, Failure, Group, Node, Retry, Saga, Steps, Subject, call::Operator,
};
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, time::Duration};

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Lent {
    book: String,
    number: u32,
}

impl Event for Lent {
    const SUBJECT: Subject = Subject::new("books.lent");

    fn key(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.book)
    }
}

async fn lent(log: &mut Log, lent: Lent, _: &Context) -> Result<(), Failure> {
    if lent.book == "torn" && lent.number == 2 {
        return Err(Failure::retry("a page is missing"));
    }
    log.note(format!("{}{}", lent.book, lent.number));
    Ok(())
}

fn mailer(name: &'static str, log: &Log) -> Actor<Log> {
    let log = log.clone();
    let short = Duration::from_millis(5);
    Actor::new(name, async move || Ok(log.clone()))
        .on(lent)
        .retry(Retry::new(1).backoff(short, short))
}

fn node(way: &Way, mailer: Actor<Log>) -> Node {
    way.node("n").group(Group::new("letters").child(mailer))
}

/// Publishes events of some books: so many each, from a number on.
async fn lend(way: &Way, numbers: std::ops::Range<u32>) -> Verdict {
    let client = way.client();
    for number in numbers {
        for book in ["a", "b", "c", "d"] {
            let book = book.to_owned();
            client.publish(Lent { book, number }).await?;
        }
    }
    Ok(())
}

fn sorted(mut lines: Vec<String>) -> Vec<String> {
    lines.sort_unstable();
    lines
}

#[tokio::test]
async fn a_new_actor_hears_all_of_the_past_or_none_of_it() -> Verdict {
    both_buses(async |way| {
        lend(way, 1..3).await?;
        let (all, new) = (Log::default(), Log::default());
        let first = node(way, mailer("archive", &all)).start().await?;
        assert_eq!(all.of(8).await.len(), 8);
        first.stop().await?;
        let plan = node(way, mailer("mailer", &new).from_now()).plan().await?;
        let text = plan.to_string();
        assert!(text.contains("new, leaves 8 old events"), "{text}");
        let plan = node(way, mailer("mailer", &new)).plan().await?;
        let text = plan.to_string();
        assert!(text.contains("new, will hear 8 old events"), "{text}");
        let second = node(way, mailer("mailer", &new).from_now()).start().await?;
        lend(way, 3..4).await?;
        assert_eq!(sorted(new.of(4).await), ["a3", "b3", "c3", "d3"]);
        second.stop().await?;
        // It is not new any more: what is published while it is away is its own.
        lend(way, 4..5).await?;
        let again = node(way, mailer("mailer", &new).from_now()).start().await?;
        assert_eq!(new.of(8).await.len(), 8);
        assert_eq!(sorted(new.lines()[4..].to_vec()), ["a4", "b4", "c4", "d4"]);
        Ok(again.stop().await?)
    })
    .await
}

#[tokio::test]
async fn a_renamed_actor_goes_on_where_it_stood_with_its_parked_keys() -> Verdict {
    both_buses(async |way| {
        let (before, after) = (Log::default(), Log::default());
        let first = node(way, mailer("mailer", &before)).start().await?;
        lend(way, 1..2).await?;
        for number in 1..4 {
            let book = "torn".to_owned();
            way.client().publish(Lent { book, number }).await?;
        }
        before.of(5).await;
        let operator = Operator::new(way.bus.clone(), way.names());
        let parked = async || operator.parked().await.unwrap_or_default();
        until("a parked key", async || parked().await.len() == 1).await;
        first.stop().await?;
        lend(way, 2..3).await?;
        let renamed = || mailer("postman", &after).formerly("letters/mailer");
        let text = node(way, renamed()).plan().await?.to_string();
        assert!(
            text.contains("new, goes on where `letters/mailer` stood"),
            "{text}"
        );
        let second = node(way, renamed()).start().await?;
        assert_eq!(sorted(after.of(4).await), ["a2", "b2", "c2", "d2"]);
        let keys = parked().await;
        let told: Vec<_> = keys
            .iter()
            .map(|key| (&*key.child, &*key.key, key.sequence))
            .collect();
        assert_eq!(told, [("letters/postman", "torn", 6)]);
        operator.skip(&keys[0], "it is lost").await?;
        assert_eq!(after.of(5).await[4], "torn3", "what waited behind it");
        until("no parked key", async || parked().await.is_empty()).await;
        Ok(second.stop().await?)
    })
    .await
}

#[tokio::test]
async fn a_new_saga_begins_now_or_with_the_past() -> Verdict {
    both_buses(async |way| {
        lend(way, 1..2).await?;
        let (now, all) = (Log::default(), Log::default());
        let saga = |name: &'static str, log: &Log| {
            let log = log.clone();
            let code = async move |_: &mut Steps, line: String| -> Result<(), Abort> {
                log.note(line);
                Ok(())
            };
            let line = |lent: Lent| format!("{}{}", lent.book, lent.number);
            // Sagas go by the event's key: each book has one saga of each kind.
            Saga::new(name, code).on(line)
        };
        let group = Group::new("loans")
            .child(saga("remind", &now))
            .child(saga("count", &all).from_beginning());
        let node = way.node("n").group(group).start().await?;
        assert_eq!(sorted(all.of(4).await), ["a1", "b1", "c1", "d1"]);
        let book = "e".to_owned();
        way.client().publish(Lent { book, number: 2 }).await?;
        assert_eq!(now.of(1).await, ["e2"]);
        all.of(5).await;
        assert_eq!(now.lines(), ["e2"], "none of the past");
        Ok(node.stop().await?)
    })
    .await
}
