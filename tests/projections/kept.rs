//! What a kept model promises: each event once, whatever ends the process, and
//! however many write.

use crate::library::{Lent, Overview, Returned, Tell};
use crate::support::way::{Verdict, Way, both_buses, until};
use callboard::{
    Bus, Client, Failure, Group, Node, Projection,
    message::Namespace,
    projection::{Batch, Keep, Lag, Mark, Positions, RebuildError, Seen, rebuild},
};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// What stands for a database: rows and positions behind one lock.
#[derive(Clone, Debug, Default)]
struct Database(Arc<Mutex<Tables>>);

#[derive(Debug, Default)]
struct Tables {
    lent: u32,
    positions: BTreeMap<String, u64>,
    marks: BTreeMap<String, String>,
    /// How many transactions fail before one succeeds.
    refusals: u32,
    transactions: u32,
}

impl Database {
    fn with<T>(&self, work: impl FnOnce(&mut Tables) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A model that collects what a batch changes, and writes that at once.
#[derive(Debug)]
struct Ledger {
    database: Database,
    lent: u32,
}

/// A place to collect in while a batch is folded.
impl Keep for Ledger {
    fn positions(&mut self) -> Result<Positions, Failure> {
        Ok(self
            .database
            .with(|tables| tables.positions.clone().into_iter().collect()))
    }

    fn marks(&mut self) -> Result<BTreeMap<String, Mark>, Failure> {
        let marks = self.database.with(|tables| tables.marks.clone());
        let marks = marks.into_iter();
        marks
            .map(|(domain, mark)| Ok((domain, mark.parse::<Mark>()?)))
            .collect()
    }

    fn keep(&mut self, batch: &Batch<'_, Self>) -> Result<(), Failure> {
        self.lent = 0;
        batch.fold(self);
        let lent = self.lent;
        self.database.with(|tables| {
            tables.transactions += 1;
            if tables.refusals > 0 {
                tables.refusals -= 1;
                return Err(Failure::retry("the database is busy"));
            }
            let position = tables
                .positions
                .entry(batch.domain().to_owned())
                .or_default();
            if *position == batch.from() {
                *position = batch.to();
                tables.lent += lent;
                tables.marks.remove(batch.domain());
                let mark = batch.mark().map(|mark| mark.to_string());
                let marked = mark.map(|mark| (batch.domain().to_owned(), mark));
                tables.marks.extend(marked);
            }
            Ok(())
        })
    }
}

fn ledger(database: &Database) -> Group {
    let database = database.clone();
    let open = move || Ok(Ledger { database: database.clone(), lent: 0 });
    let projection = Projection::kept("ledger", open)
        .fold(|ledger: &mut Ledger, _: &Lent, _: &Seen| ledger.lent += 1)
        .fold(|_: &mut Ledger, _: &Returned, _: &Seen| {})
        .answer(|ledger: &Ledger, _: &Tell, lag: &Lag| {
            let lent = ledger.database.with(|tables| tables.lent);
            Ok(Overview { lent, lag: lag.messages, ..Overview::default() })
        });
    Group::new("library").child(projection)
}

async fn lend(way: &Way, from: u32, to: u32) -> Verdict {
    let client = way.client();
    for n in from..to {
        client.publish(Lent::of(&format!("b{n}"), "ada")).await?;
    }
    Ok(())
}

async fn has(database: &Database, lent: u32) {
    until(&format!("{lent} in the database"), async || {
        database.with(|tables| tables.lent) >= lent
    })
    .await;
}

#[tokio::test]
async fn a_restart_goes_on_where_the_database_stands() -> Verdict {
    both_buses(async |way| {
        let database = Database::default();
        lend(way, 0, 600).await?;
        let node = way.node("one").group(ledger(&database)).start().await?;
        assert_eq!(way.client().call(Tell).await?.lent, 600);
        assert!(
            database.with(|tables| tables.transactions) < 20,
            "events come in batches"
        );
        node.stop().await?;
        lend(way, 600, 610).await?;
        let node = way.node("two").group(ledger(&database)).start().await?;
        assert_eq!(way.client().call(Tell).await?.lent, 610);
        Ok(node.stop().await?)
    })
    .await
}

#[tokio::test]
async fn two_that_write_to_one_database_count_every_event_once() -> Verdict {
    both_buses(async |way| {
        let database = Database::default();
        let one = way.node("one").group(ledger(&database)).start().await?;
        let two = way.node("two").group(ledger(&database)).start().await?;
        lend(way, 0, 500).await?;
        has(&database, 500).await;
        way.client().publish(Returned::of("b0")).await?;
        until("both to be where the streams end", async || {
            let behind = |node: &callboard::Running| crate::branch(node).lag != Some(0);
            !behind(&one) && !behind(&two)
        })
        .await;
        assert_eq!(database.with(|tables| tables.lent), 500);
        one.stop().await?;
        Ok(two.stop().await?)
    })
    .await
}

#[tokio::test]
async fn a_transaction_that_fails_is_tried_again() -> Verdict {
    let way = Way::embedded(true);
    let database = Database::default();
    let node = way.node("n").group(ledger(&database)).start().await?;
    database.with(|tables| tables.refusals = 3);
    lend(&way, 0, 5).await?;
    has(&database, 5).await;
    assert_eq!(database.with(|tables| tables.lent), 5);
    assert_eq!(crate::branch(&node).restarts, 0);
    Ok(node.stop().await?)
}

#[tokio::test]
async fn a_database_of_another_stream_is_refused() -> Verdict {
    let way = Way::embedded(true);
    let database = Database::default();
    database.with(|tables| tables.positions.insert("library".into(), 9));
    lend(&way, 0, 3).await?;
    let refused = way.node("n").group(ledger(&database)).start().await;
    let reason = refused.map(drop).map_err(|error| error.to_string());
    let reason = reason.expect_err("it is ahead of the stream");
    assert!(
        reason.contains("#9 of `library`, whose stream ends at #3"),
        "{reason}"
    );
    Ok(())
}

#[tokio::test]
async fn a_database_of_events_that_were_lost_is_refused_though_the_stream_went_on() -> Verdict {
    let (before, after) = (Bus::embedded(), Bus::embedded());
    let database = Database::default();
    let node = |bus: &Bus| Node::new("n", bus.clone()).group(ledger(&database));
    for (bus, books) in [(&before, 0..5), (&after, 3..12)] {
        let client = Client::new(bus.clone(), Namespace::default());
        for n in books {
            client.publish(Lent::of(&format!("b{n}"), "ada")).await?;
        }
    }
    for _ in 0..2 {
        let running = node(&before).start().await?;
        has(&database, 5).await;
        running.stop().await?;
    }
    let refused = node(&after).start().await.map(drop);
    let reason = refused.map_err(|error| error.to_string());
    let reason = reason.expect_err("another event stands at its position");
    assert!(
        reason.contains("#5 of `library`") && reason.contains("start with an empty model"),
        "{reason}"
    );
    // Who keeps no marks is not refused.
    database.with(|tables| tables.marks.clear());
    let running = node(&after).start().await?;
    has(&database, 5 + 4).await;
    Ok(running.stop().await?)
}

#[tokio::test]
async fn a_kept_model_is_not_built_beside_itself() -> Verdict {
    let way = Way::embedded(true);
    let node = way
        .node("n")
        .group(ledger(&Database::default()))
        .start()
        .await?;
    let refused = rebuild(&way.client(), "library/ledger", Duration::from_secs(5)).await;
    assert!(
        matches!(refused, Err(RebuildError::Refused { .. })),
        "{refused:?}"
    );
    Ok(node.stop().await?)
}
