//! A box: it answers one command, hears one event, and is sent much else.

use crate::support::{log::Log, way::Way};
use callboard::{
    Actor, Answer, Client, Command, Context, Event, Failure, Group, Infallible, NodeError, Running,
    Subject, message::codec,
};
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, error::Error};

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Put {
    pub(crate) item: String,
    pub(crate) count: u32,
}

impl Command for Put {
    const SUBJECT: Subject = Subject::new("box.put");
    type Outcome = Result<String, Infallible>;
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Filled {
    pub(crate) item: String,
    pub(crate) count: u32,
}

impl Event for Filled {
    const SUBJECT: Subject = Subject::new("box.filled");

    fn key(&self) -> Cow<'_, str> {
        (&self.item).into()
    }
}

/// Answers with as many copies as asked for.
async fn put(log: &mut Log, put: Put, _: &Context) -> Answer<Put> {
    log.note(format!("put {}", put.item));
    Ok(put.item.repeat(put.count as usize))
}

pub(crate) async fn filled(log: &mut Log, filled: Filled, ctx: &Context) -> Result<(), Failure> {
    let key = ctx.envelope().map(|envelope| envelope.key.decode());
    assert_eq!(key.as_deref(), Some(&*filled.item));
    log.note(format!("filled {}", filled.item));
    Ok(())
}

pub(crate) async fn start(way: &Way, log: &Log) -> Result<Running, NodeError> {
    let log = log.clone();
    let keeper = Actor::new("keeper", async move || Ok(log.clone()))
        .answer(put)
        .on(filled);
    way.node("n")
        .group(Group::new("box").child(keeper))
        .start()
        .await
}

pub(crate) fn good() -> Vec<u8> {
    encoded(&Put { item: "a".to_owned(), count: 1 })
}

#[derive(Serialize)]
struct Untyped {
    item: u8,
    count: &'static str,
}

#[derive(Serialize)]
struct Partial {
    item: &'static str,
}

const SHAPE: &str = "is not MessagePack of the expected shape";

/// Returns payloads that are no `{item, count}`, and what is said about each.
pub(crate) fn bad_payloads() -> Vec<(&'static str, Vec<u8>)> {
    let whole = good();
    // {"item": <four billion of something>
    let huge = |marker: u8| [&b"\x82\xa4item"[..], &[marker], &[0xFF; 4], b"x"].concat();
    // {"item": "a", "count": 1, "deep": [[[..
    let deep = [
        &b"\x83\xa4item\xa1a\xa5count\x01\xa4deep"[..],
        &[0x91; 10_000],
    ]
    .concat();
    vec![
        (SHAPE, vec![0xC1; 8]),
        (SHAPE, b"hello".to_vec()),
        (SHAPE, Vec::new()),
        (SHAPE, whole[..whole.len() - 1].to_vec()),
        (
            "goes on for 3 bytes after the value",
            [&whole[..], b"abc"].concat(),
        ),
        (SHAPE, vec![0x91; 100_000]),
        ("nests deeper than 32 levels", deep),
        (SHAPE, huge(0xDB)),
        (SHAPE, huge(0xDD)),
        (SHAPE, huge(0xDF)),
        (SHAPE, encoded(&Untyped { item: 1, count: "x" })),
        ("missing field `count`", encoded(&Partial { item: "a" })),
        (SHAPE, b"\x92\xa1a\x01".to_vec()),
        ("takes 300018 bytes; at most 262144 are read", too_large()),
    ]
}

fn encoded(message: &impl Serialize) -> Vec<u8> {
    let encoded = codec::encode(message).expect("a plain message can be encoded");
    encoded.into()
}

/// A sound message beyond the limit of 256 KiB.
fn too_large() -> Vec<u8> {
    let text = vec![b'x'; 300_000];
    [
        &b"\x82\xa5count\x01\xa4item\xdb\x00\x04\x93\xe0"[..],
        &text[..],
    ]
    .concat()
}

pub(crate) async fn fill(client: &Client, item: &str) -> Result<(), Box<dyn Error>> {
    client
        .publish(Filled { item: item.to_owned(), count: 1 })
        .await?;
    Ok(())
}
