//! What bad input does: the sender or the operator learns the subject, the
//! reason and the cure; the messages behind it are handled; the process lives.

mod support;

use callboard::{
    Actor, Answer, CallError, Client, Command, Context, Event, Failure, Group, Infallible,
    NodeError, Running, Subject,
    bus::Message,
    message::{
        Headers, Id, Status, codec,
        headers::{
            CB_DEAD_REASON, CB_DEAD_SEQUENCE, CB_DEADLINE, CE_SPECVERSION, CE_TIME, CE_TYPE,
            CONTENT_TYPE, MSG_ID,
        },
    },
};
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, error::Error};
use support::{
    log::Log,
    way::{Verdict, Way, both_buses, every_way},
};

#[derive(Debug, Serialize, Deserialize)]
struct Put {
    item: String,
    count: u32,
}

impl Command for Put {
    const SUBJECT: Subject = Subject::new("box.put");
    type Outcome = Result<String, Infallible>;
}

#[derive(Debug, Serialize, Deserialize)]
struct Filled {
    item: String,
    count: u32,
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

async fn filled(log: &mut Log, filled: Filled, ctx: &Context) -> Result<(), Failure> {
    let key = ctx.envelope().map(|envelope| envelope.key.decode());
    assert_eq!(key.as_deref(), Some(&*filled.item));
    log.note(format!("filled {}", filled.item));
    Ok(())
}

async fn start(way: &Way, log: &Log) -> Result<Running, NodeError> {
    let log = log.clone();
    let keeper = Actor::new("keeper", async move || Ok(log.clone()))
        .answer(put)
        .on(filled);
    way.node("n")
        .group(Group::new("box").child(keeper))
        .start()
        .await
}

fn good() -> Vec<u8> {
    codec::encode(&Put { item: "a".to_owned(), count: 1 })
        .expect("a good message can be encoded")
        .into()
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

/// Payloads that are no `{item, count}`, and what is said about each.
fn bad_payloads() -> Result<Vec<(&'static str, Vec<u8>)>, Box<dyn Error>> {
    let with = |tail: &[u8]| [&good()[..], tail].concat();
    let huge = |marker: u8| {
        // {"item": <four billion of something>
        [
            &b"\x82\xa4item"[..],
            &[marker, 0xFF, 0xFF, 0xFF, 0xFF],
            b"x",
        ]
        .concat()
    };
    let large = rmp_large();
    Ok(vec![
        ("is not MessagePack of the expected shape", vec![0xC1; 8]),
        (
            "is not MessagePack of the expected shape",
            b"hello".to_vec(),
        ),
        ("is not MessagePack of the expected shape", Vec::new()),
        (
            "is not MessagePack of the expected shape",
            good()[..good().len() - 1].to_vec(),
        ),
        ("goes on for 3 bytes after the value", with(b"abc")),
        ("", vec![0x91; 100_000]),
        (
            "",
            [
                &b"\x83\xa4item\xa1a\xa5count\x01\xa4deep"[..],
                &[0x91; 10_000],
            ]
            .concat(),
        ),
        ("is not MessagePack of the expected shape", huge(0xDB)),
        ("is not MessagePack of the expected shape", huge(0xDD)),
        ("is not MessagePack of the expected shape", huge(0xDF)),
        (
            "is not MessagePack of the expected shape",
            codec::encode(&Untyped { item: 1, count: "x" })?.into(),
        ),
        (
            "missing field `count`",
            codec::encode(&Partial { item: "a" })?.into(),
        ),
        (
            "is not MessagePack of the expected shape",
            b"\x92\xa1a\x01".to_vec(),
        ),
        ("takes 300018 bytes; at most 262144 are read", large),
    ])
}

/// A sound message beyond the limit of 256 KiB.
fn rmp_large() -> Vec<u8> {
    let text = vec![b'x'; 300_000];
    [
        &b"\x82\xa5count\x01\xa4item\xdb\x00\x04\x93\xe0"[..],
        &text[..],
    ]
    .concat()
}

#[tokio::test]
async fn a_command_that_does_not_decode_is_a_400_with_the_reason() -> Verdict {
    every_way(async |way| {
        let log = Log::default();
        let node = start(way, &log).await?;
        let payloads = bad_payloads()?;
        for (words, payload) in &payloads {
            let reply = way
                .ask("cmd.box.put", Message::new("", payload.clone()))
                .await?;
            let (status, reason) = Status::read(&reply.headers).ok_or("it was answered")?;
            assert_eq!(status, Status::Malformed, "{reason}");
            assert!(
                reason.starts_with("box.put ") && reason.contains(words),
                "{reason}"
            );
        }
        assert_eq!(
            node.client()
                .call(Put { item: "b".to_owned(), count: 2 })
                .await?,
            "bb"
        );
        assert_eq!(log.lines(), ["put b"]);
        assert_eq!(node.tree().groups[0].children[0].restarts, 0);
        Ok(node.stop().await?)
    })
    .await
}

fn typed(kind: &str) -> Result<Headers, Box<dyn Error>> {
    let mut headers = Headers::new();
    headers.insert(CE_TYPE, kind)?;
    Ok(headers)
}

async fn publish(way: &Way, key: &str, headers: Headers, payload: &[u8]) -> Verdict {
    let subject = format!("{}.evt.box.{key}", way.namespace);
    let message = Message::new(subject, payload.to_vec()).headers(headers);
    Ok(way.bus.send(message).await?)
}

async fn fill(client: &Client, item: &str) -> Verdict {
    client
        .publish(Filled { item: item.to_owned(), count: 1 })
        .await?;
    Ok(())
}

#[tokio::test]
async fn an_event_that_does_not_decode_is_a_dead_letter_with_the_reason() -> Verdict {
    both_buses(async |way| {
        let log = Log::default();
        let node = start(way, &log).await?;
        let payloads = bad_payloads()?;
        for (_, payload) in &payloads {
            publish(way, "a", typed("box.filled")?, payload).await?;
        }
        fill(&node.client(), "a").await?;
        assert_eq!(log.of(1).await, ["filled a"], "the key goes on");
        let reasons = way.dead(payloads.len(), CB_DEAD_REASON).await;
        for ((words, _), reason) in payloads.iter().zip(&reasons) {
            assert!(
                reason.starts_with("box.filled ") && reason.contains(words),
                "{reason}"
            );
        }
        let letters = way.dead_letters().await?;
        assert_eq!(letters.len(), payloads.len());
        for (letter, (_, payload)) in letters.iter().zip(&payloads) {
            assert_eq!(letter.subject, format!("{}.dead.box.keeper", way.namespace));
            assert_eq!(letter.payload, payload, "the letter is the message");
        }
        assert_eq!(node.tree().groups[0].children[0].restarts, 0);
        Ok(node.stop().await?)
    })
    .await
}

#[tokio::test]
async fn an_event_with_bad_headers_is_a_dead_letter_with_the_cure() -> Verdict {
    both_buses(async |way| {
        let log = Log::default();
        let node = start(way, &log).await?;
        let mut cases = vec![
            (
                Headers::new(),
                "has no `ce-type` header; name the event's type there",
            ),
            (
                typed("other.filled")?,
                "`other.filled` is not of the domain `box`",
            ),
            (
                typed("boxes.filled")?,
                "`boxes.filled` is not of the domain `box`",
            ),
            (typed("box")?, "`box` is not of the domain `box`"),
        ];
        for (name, value, words) in [
            (CE_SPECVERSION, "2.0", "CloudEvents 2.0; only 1.x"),
            (
                CONTENT_TYPE,
                "application/json",
                "carries `application/json`; only `application/msgpack`",
            ),
            (CE_TIME, "yesterday", "not an RFC 3339 time"),
        ] {
            let mut headers = typed("box.filled")?;
            headers.insert(name, value)?;
            cases.push((headers, words));
        }
        for (headers, _) in &cases {
            publish(way, "a", headers.clone(), &good()).await?;
        }
        publish(way, "a", typed("box.unknown")?, b"whatever").await?;
        let long = "k".repeat(300);
        publish(way, &long, typed("box.filled")?, &good()).await?;
        publish(way, "no=key", typed("box.filled")?, &good()).await?;
        fill(&node.client(), "a").await?;
        assert_eq!(
            log.of(1).await,
            ["filled a"],
            "what it does not hear is passed over"
        );
        let reasons = way.dead(cases.len() + 2, CB_DEAD_REASON).await;
        let said = |words: &str| {
            reasons
                .iter()
                .filter(|reason| reason.contains(words))
                .count()
        };
        for (_, words) in &cases {
            assert_eq!(said(words), 1, "{words}: {reasons:?}");
        }
        assert_eq!(said("its subject does not end in a key"), 2, "{reasons:?}");
        assert_eq!(way.dead_letters().await?.len(), cases.len() + 2);
        Ok(node.stop().await?)
    })
    .await
}

#[tokio::test]
async fn an_event_as_large_as_the_carrier_takes_is_told_of_and_let_go() -> Verdict {
    both_buses(async |way| {
        let log = Log::default();
        let node = start(way, &log).await?;
        let mut headers = typed("box.filled")?;
        headers.insert(MSG_ID, "large")?;
        publish(way, "a", headers, &vec![0; 1024 * 1024 - 100]).await?;
        fill(&node.client(), "a").await?;
        assert_eq!(log.of(1).await, ["filled a"]);
        let reasons = way.dead(1, CB_DEAD_REASON).await;
        assert!(
            reasons[0].contains("at most 262144 are read"),
            "{reasons:?}"
        );
        assert_eq!(
            way.dead(1, CB_DEAD_SEQUENCE).await,
            ["1"],
            "where the whole of it stands"
        );
        Ok(node.stop().await?)
    })
    .await
}

#[tokio::test]
async fn any_key_is_one_token_and_a_long_one_is_refused() -> Verdict {
    both_buses(async |way| {
        let log = Log::default();
        let node = start(way, &log).await?;
        let client = node.client();
        let keys = [
            "a.b",
            "*",
            ">",
            "a b",
            "a\nb",
            "a\r\nNats-Msg-Id: x",
            "=",
            "ключ",
            "\0",
        ];
        for key in keys {
            fill(&client, key).await?;
        }
        let mut lines = log.of(keys.len()).await;
        let mut expected = keys.map(|key| format!("filled {key}"));
        lines.sort();
        expected.sort();
        assert_eq!(lines, expected);
        for (key, words) in [
            (
                "k".repeat(300),
                "takes 300 bytes as a subject token; at most 128",
            ),
            (String::new(), "the key is empty"),
        ] {
            let refused = client.publish(Filled { item: key, count: 1 }).await;
            let text = refused.expect_err("it is no key").to_string();
            assert!(
                text.contains("box.filled") && text.contains(words),
                "{text}"
            );
        }
        for subject in [
            "evt.box.*",
            "evt.box.>",
            "evt.box.a b",
            "evt.box.a\r\nb",
            "evt..box",
        ] {
            let subject = format!("{}.{subject}", way.namespace);
            let refused = way.bus.send(Message::new(subject, "")).await;
            let text = refused.expect_err("it is no subject").to_string();
            assert!(text.contains("is not a subject"), "{text}");
        }
        Ok(node.stop().await?)
    })
    .await
}

#[tokio::test]
async fn a_line_break_in_a_header_is_refused_where_it_is_written() -> Verdict {
    every_way(async |way| {
        let log = Log::default();
        let node = start(way, &log).await?;
        let smuggled = || Id::from("a\r\nNats-Expected-Stream: x");
        let client = way.client();
        let call = client
            .call(Put { item: "a".to_owned(), count: 1 })
            .id(smuggled())
            .await;
        let text = call.expect_err("it breaks the line").to_string();
        assert!(
            text.contains("box.put") && text.contains("`cb-id` holds a line break"),
            "{text}"
        );
        let event = client
            .publish(Filled { item: "a".to_owned(), count: 1 })
            .id(smuggled())
            .await;
        let text = event.expect_err("it breaks the line").to_string();
        assert!(
            text.contains("box.filled") && text.contains("`ce-id` holds a line break"),
            "{text}"
        );
        fill(&client, "b").await?;
        assert_eq!(log.of(1).await, ["filled b"]);
        Ok(node.stop().await?)
    })
    .await
}

#[tokio::test]
async fn bad_command_headers_are_a_400_and_an_old_deadline_a_408() -> Verdict {
    every_way(async |way| {
        let log = Log::default();
        let node = start(way, &log).await?;
        for (deadline, wanted) in [
            ("soon", Some(Status::Malformed)),
            ("-1", Some(Status::Malformed)),
            ("99999999999999999999", Some(Status::Malformed)),
            ("1", Some(Status::DeadlinePassed)),
            ("18446744073709551615", None),
        ] {
            let mut headers = Headers::new();
            headers.insert(CB_DEADLINE, deadline)?;
            let reply = way
                .ask("cmd.box.put", Message::new("", good()).headers(headers))
                .await?;
            let status = Status::read(&reply.headers);
            assert_eq!(status.map(|(status, _)| status), wanted, "{status:?}");
        }
        for (subject, wanted) in [
            ("cmd.box.pull", "box.pull"),
            ("cmd.box.put.more", "box.put.more"),
        ] {
            let reply = way.ask(subject, Message::new("", good())).await?;
            let (status, reason) = Status::read(&reply.headers).ok_or("it was answered")?;
            assert_eq!(status, Status::NotFound);
            assert!(
                reason.contains(wanted) && reason.contains(".answer"),
                "{reason}"
            );
        }
        assert_eq!(log.lines(), ["put a"]);
        let nobody = way.ask("cmd.void.go", Message::new("", good())).await;
        assert_eq!(
            nobody,
            Err(format!("nobody answers {}.cmd.void.go", way.namespace))
        );
        Ok(node.stop().await?)
    })
    .await
}

#[tokio::test]
async fn what_is_too_large_to_send_is_said_on_both_sides() -> Verdict {
    both_buses(async |way| {
        let log = Log::default();
        let node = start(way, &log).await?;
        let client = way.client();
        let command = client.call(Put { item: "x".repeat(300_000), count: 1 }).await;
        assert!(matches!(command, Err(CallError::Codec { .. })), "{command:?}");
        let text = command.expect_err("it is too large").to_string();
        assert!(text.contains("box.put") && text.contains("send a reference"), "{text}");
        let reply = client.call(Put { item: "x".to_owned(), count: 300_000 }).await;
        assert!(
            matches!(&reply, Err(CallError::Failed { reason, .. }) if reason.contains("send a reference")),
            "{reply:?}"
        );
        let event = client.publish(Filled { item: "x".to_owned(), count: 1 }).await?;
        assert_eq!(event.sequence, 1);
        Ok(node.stop().await?)
    })
    .await
}
