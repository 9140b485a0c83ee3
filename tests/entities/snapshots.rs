//! Snapshots shorten a load, and are never needed.

use crate::bank::{Account, Deposited, Outcome, deposit};
use callboard::{
    Bus, Client, Command, Entity, Event, Group, Infallible, Node, Running, Subject,
    bus::{Expect, Message, StreamConfig},
    message::{Headers, headers},
};
use serde::{Deserialize, Serialize};
use std::{
    borrow::Cow,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

/// A bank that counts how many events it applies.
struct Counted {
    applied: Arc<AtomicUsize>,
    node: Running,
}

impl Counted {
    async fn open(
        bus: &Bus,
        name: &str,
        every: u64,
        version: u32,
    ) -> Result<Self, Box<dyn std::error::Error>> {
        let applied = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&applied);
        let account = Entity::new("account", Account::default)
            .decide(Account::deposit)
            .apply(move |account: &mut Account, deposited: &Deposited| {
                count.fetch_add(1, Ordering::Relaxed);
                account.balance += deposited.amount;
            })
            .snapshot_every(every)
            .snapshot_version(version);
        let group = Group::new("bank").child(account);
        let node = Node::new(name, bus.clone()).group(group).start().await?;
        Ok(Self { applied, node })
    }

    /// Makes so many deposits of 1 and closes.
    async fn deposits(self, count: u64) -> Outcome {
        for _ in 0..count {
            self.node.client().call(deposit("a", 1)).await?;
        }
        Ok(self.node.stop().await?)
    }

    /// Deposits 1 more, and returns the balance and how many events were applied for it.
    async fn one_more(self) -> Result<(u64, usize), Box<dyn std::error::Error>> {
        let balance = self.node.client().call(deposit("a", 1)).await?;
        self.node.stop().await?;
        Ok((balance, self.applied.load(Ordering::Relaxed)))
    }
}

async fn snapshots(client: &Client) -> Result<callboard::bus::Stream, Box<dyn std::error::Error>> {
    Ok(client
        .bus()
        .stream(&StreamConfig::snapshots(client.namespace()))
        .await?)
}

#[tokio::test]
async fn a_load_goes_through_the_events_after_the_snapshot_only() -> Outcome {
    let bus = Bus::embedded();
    Counted::open(&bus, "one", 10, 1)
        .await?
        .deposits(25)
        .await?;
    let (balance, applied) = Counted::open(&bus, "two", 10, 1).await?.one_more().await?;
    assert_eq!(
        (balance, applied),
        (26, 6),
        "5 after the snapshot at 20, and the new one"
    );
    Ok(())
}

#[tokio::test]
async fn a_snapshot_of_another_version_is_passed_over() -> Outcome {
    let bus = Bus::embedded();
    Counted::open(&bus, "one", 10, 1)
        .await?
        .deposits(25)
        .await?;
    let (balance, applied) = Counted::open(&bus, "two", 10, 2).await?.one_more().await?;
    assert_eq!((balance, applied), (26, 26));
    let (balance, applied) = Counted::open(&bus, "three", 10, 2)
        .await?
        .one_more()
        .await?;
    assert_eq!((balance, applied), (27, 1), "a new one was taken at once");
    Ok(())
}

#[tokio::test]
async fn an_unreadable_snapshot_is_passed_over() -> Outcome {
    let bus = Bus::embedded();
    Counted::open(&bus, "one", 10, 1)
        .await?
        .deposits(12)
        .await?;
    let client = Client::new(bus.clone(), "callboard".parse()?);
    let mut named = Headers::new();
    named.insert(headers::MSG_ID, "garbage")?;
    let garbage = Message::new("callboard.snap.bank.account.a", "\u{c1}").headers(named);
    snapshots(&client)
        .await?
        .append(garbage, Expect::Any)
        .await?;
    let (balance, applied) = Counted::open(&bus, "two", 10, 1).await?.one_more().await?;
    assert_eq!((balance, applied), (13, 13));
    Ok(())
}

#[tokio::test]
async fn a_snapshot_remembers_which_commands_were_done() -> Outcome {
    let bus = Bus::embedded();
    let first = Counted::open(&bus, "one", 5, 1).await?;
    let ids: Vec<_> = (0..12).map(|_| callboard::message::Id::new()).collect();
    for id in &ids {
        first
            .node
            .client()
            .call(deposit("a", 1))
            .id(id.clone())
            .await?;
    }
    first.node.stop().await?;
    let second = Counted::open(&bus, "two", 5, 1).await?;
    for (id, balance) in ids.iter().zip(1..) {
        let again = second
            .node
            .client()
            .call(deposit("a", 1))
            .id(id.clone())
            .await?;
        assert_eq!(again, balance, "the first reply");
    }
    assert_eq!(second.applied.load(Ordering::Relaxed), 2);
    second.node.stop().await?;
    Ok(())
}

#[tokio::test]
async fn an_entity_of_a_hundred_thousand_events_loads_through_its_snapshot() -> Outcome {
    let bus = Bus::embedded();
    Counted::open(&bus, "one", 1_000, 1)
        .await?
        .deposits(100_000)
        .await?;
    let (balance, applied) = Counted::open(&bus, "two", 1_000, 1)
        .await?
        .one_more()
        .await?;
    assert_eq!((balance, applied), (100_001, 1));
    Ok(())
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Write {
    note: String,
    letters: usize,
}

impl Command for Write {
    const SUBJECT: Subject = Subject::new("notes.write");
    type Outcome = Result<usize, Infallible>;

    fn key(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.note)
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Written {
    note: String,
    text: String,
}

impl Event for Written {
    const SUBJECT: Subject = Subject::new("notes.written");

    fn key(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.note)
    }
}

/// A state that grows with every event, and counts how many were applied.
fn notes(applied: &Arc<AtomicUsize>) -> Group {
    let count = Arc::clone(applied);
    let note = Entity::new("note", String::new)
        .decide(
            |text: &String, write: Write| -> Result<(Written, usize), Infallible> {
                let new = "n".repeat(write.letters);
                let length = text.len() + new.len();
                Ok((Written { note: write.note, text: new }, length))
            },
        )
        .apply(move |text: &mut String, written: &Written| {
            count.fetch_add(1, Ordering::Relaxed);
            text.push_str(&written.text);
        })
        .snapshot_every(3);
    Group::new("notes").child(note)
}

#[tokio::test]
async fn a_state_of_more_than_256_kib_is_snapshot_in_parts() -> Outcome {
    let (bus, applied) = (Bus::embedded(), Arc::new(AtomicUsize::new(0)));
    let write = || Write { note: "n".into(), letters: 200_000 };
    for (name, expected) in [("one", 3), ("two", 6)] {
        let node = Node::new(name, bus.clone())
            .group(notes(&applied))
            .start()
            .await?;
        let mut length = 0;
        for _ in 0..3 {
            length = node.client().call(write()).await?;
        }
        assert_eq!(length, expected * 200_000);
        node.stop().await?;
    }
    assert_eq!(applied.load(Ordering::Relaxed), 6, "none is applied twice");
    let node = Node::new("three", bus.clone())
        .group(notes(&applied))
        .start()
        .await?;
    assert_eq!(node.client().call(write()).await?, 1_400_000);
    assert_eq!(applied.load(Ordering::Relaxed), 7);
    node.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_snapshot_whose_parts_are_not_whole_is_passed_over() -> Outcome {
    let (bus, applied) = (Bus::embedded(), Arc::new(AtomicUsize::new(0)));
    let write = || Write { note: "n".into(), letters: 200_000 };
    let node = Node::new("one", bus.clone())
        .group(notes(&applied))
        .start()
        .await?;
    for _ in 0..3 {
        node.client().call(write()).await?;
    }
    node.stop().await?;
    let client = Client::new(bus.clone(), "callboard".parse()?);
    let stream = snapshots(&client).await?;
    let mut all = stream.read("callboard.snap.notes.note.n.>", 1).await?;
    let part = all.next().await?.ok_or("it has parts")?;
    let mut named = Headers::new();
    named.insert(headers::MSG_ID, "another")?;
    let spoilt = Message::new(part.subject, "spoilt").headers(named);
    stream.append(spoilt, Expect::Any).await?;
    let node = Node::new("two", bus.clone())
        .group(notes(&applied))
        .start()
        .await?;
    assert_eq!(node.client().call(write()).await?, 800_000);
    assert_eq!(applied.load(Ordering::Relaxed), 7);
    node.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_state_that_grows_is_warned_of_once_per_doubling() -> Outcome {
    let log = crate::logged::Lines::capture();
    let (bus, applied) = (Bus::embedded(), Arc::new(AtomicUsize::new(0)));
    let node = Node::new("one", bus.clone())
        .group(notes(&applied))
        .start()
        .await?;
    for _ in 0..36 {
        let write = Write { note: "growing-note".into(), letters: 4_000 };
        node.client().call(write).await?;
    }
    node.stop().await?;
    let lines = log.lines();
    let warned = lines
        .iter()
        .filter(|line| line.contains("WARN") && line.contains("growing-note"));
    assert_eq!(warned.count(), 2, "at 64 KiB and at 128 KiB");
    Ok(())
}
