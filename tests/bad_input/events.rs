//! Events that cannot be handled: dead letters, with the reason.

use crate::{
    store::{Filled, bad_payloads, fill, good, start},
    support::{
        log::Log,
        way::{Verdict, Way, both_buses},
    },
};
use callboard::{
    bus::Message,
    message::{
        Headers, codec,
        headers::{
            CB_DEAD_REASON, CB_DEAD_SEQUENCE, CE_CAUSATION, CE_CORRELATION, CE_ID, CE_SPECVERSION,
            CE_TIME, CE_TYPE, CONTENT_TYPE, MSG_ID, TRACEPARENT,
        },
    },
};
use std::{
    error::Error,
    io::{BufRead, BufReader, Write},
    net::TcpStream,
    time::Duration,
};

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

#[tokio::test]
async fn an_event_that_does_not_decode_is_a_dead_letter_with_the_reason() -> Verdict {
    both_buses(async |way| {
        let log = Log::default();
        let node = start(way, &log).await?;
        let payloads = bad_payloads();
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

/// Returns headers that describe no event of the box, and what is said about each.
fn bad_headers() -> Result<Vec<(Headers, &'static str)>, Box<dyn Error>> {
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
            "only `application/msgpack`",
        ),
        (
            CE_TIME,
            "yesterday",
            "has `ce-time: yesterday`, which is no RFC 3339 time",
        ),
    ] {
        let mut headers = typed("box.filled")?;
        headers.insert(name, value)?;
        cases.push((headers, words));
    }
    Ok(cases)
}

#[tokio::test]
async fn an_event_with_bad_headers_is_a_dead_letter_with_the_cure() -> Verdict {
    both_buses(async |way| {
        let log = Log::default();
        let node = start(way, &log).await?;
        let cases = bad_headers()?;
        for (headers, _) in &cases {
            publish(way, "a", headers.clone(), &good()).await?;
        }
        publish(way, "a", typed("box.unknown")?, b"whatever").await?;
        for key in ["no=key", &"k".repeat(300)] {
            publish(way, key, typed("box.filled")?, &good()).await?;
        }
        fill(&node.client(), "a").await?;
        assert_eq!(log.of(1).await, ["filled a"], "the unknown is passed over");
        let reasons = way.dead(cases.len() + 2, CB_DEAD_REASON).await;
        assert_eq!(reasons.len(), cases.len() + 2);
        let said = |words: &str| reasons.iter().filter(|said| said.contains(words)).count();
        for (_, words) in &cases {
            assert_eq!(said(words), 1, "{words}: {reasons:?}");
        }
        assert_eq!(
            said("has a subject that does not end in a key"),
            2,
            "{reasons:?}"
        );
        Ok(node.stop().await?)
    })
    .await
}

/// What the server was told about the original must not keep the letter out, and
/// with it all that follows on the key.
#[tokio::test]
async fn an_expectation_of_the_publisher_does_not_hold_for_the_dead_letter() -> Verdict {
    let way = Way::nats(true).await?;
    let log = Log::default();
    let node = start(&way, &log).await?;
    fill(&node.client(), "a").await?;
    let mut headers = typed("box.filled")?;
    headers.insert("Nats-Expected-Last-Sequence", "1")?;
    headers.insert("x-note", "kept")?;
    publish(&way, "a", headers, b"\xC1").await?;
    assert_eq!(way.dead(1, "x-note").await, ["kept"]);
    fill(&node.client(), "a").await?;
    assert_eq!(log.of(2).await, ["filled a", "filled a"]);
    Ok(node.stop().await?)
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

/// A letter says more in its headers than its original, and what a stream stores of them is
/// bounded.
#[tokio::test]
async fn an_event_whose_headers_leave_no_room_for_the_reason_is_a_dead_letter_too() -> Verdict {
    both_buses(async |way| {
        let log = Log::default();
        let node = start(way, &log).await?;
        let mut headers = typed("box.filled")?;
        headers.insert("x-baggage", "x".repeat(64_900))?;
        publish(way, "a", headers, b"\xC1").await?;
        fill(&node.client(), "a").await?;
        assert_eq!(log.of(1).await, ["filled a"], "the key goes on");
        assert_eq!(way.dead(1, CB_DEAD_SEQUENCE).await, ["1"]);
        let letters = way.dead_letters().await?;
        assert_eq!(letters[0].payload, b"\xC1"[..], "what fits is kept");
        Ok(node.stop().await?)
    })
    .await
}

#[tokio::test]
async fn any_key_is_one_token() -> Verdict {
    both_buses(async |way| {
        let log = Log::default();
        let node = start(way, &log).await?;
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
            fill(&node.client(), key).await?;
        }
        let mut lines = log.of(keys.len()).await;
        let mut expected = keys.map(|key| format!("filled {key}"));
        lines.sort();
        expected.sort();
        assert_eq!(lines, expected);
        Ok(node.stop().await?)
    })
    .await
}

#[tokio::test]
async fn what_is_no_key_or_subject_is_refused() -> Verdict {
    both_buses(async |way| {
        let client = way.client();
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
        for rest in ["box.*", "box.>", "box.a b", "box.a\r\nb", ".box"] {
            let subject = format!("{}.evt.{rest}", way.namespace);
            let refused = way.bus.send(Message::new(subject, "")).await;
            let text = refused.expect_err("it is no subject").to_string();
            assert!(text.contains("is not a subject"), "{text}");
        }
        Ok(())
    })
    .await
}

/// Sends a message past every client's checks, and returns what the server says.
pub(crate) fn smuggle(
    url: &str,
    subject: &str,
    header: &str,
    payload: &[u8],
) -> Result<String, Box<dyn Error>> {
    let mut server = TcpStream::connect(url.trim_start_matches("nats://"))?;
    server.set_read_timeout(Some(Duration::from_secs(5)))?;
    let headers = format!("NATS/1.0\r\n{header}\r\n\r\n");
    let (head, all) = (headers.len(), headers.len() + payload.len());
    write!(server, "CONNECT {{\"headers\":true,\"verbose\":false}}\r\n")?;
    write!(server, "HPUB {subject} {head} {all}\r\n{headers}")?;
    server.write_all(payload)?;
    write!(server, "\r\nPING\r\n")?;
    let lines = BufReader::new(server).lines();
    let said: Result<Vec<_>, _> = lines
        .take_while(|line| line.as_ref().map_or(true, |line| line != "PONG"))
        .collect();
    Ok(said?.join(" "))
}

/// The server keeps such an event outside of all partitions: no reaction reads it.
#[tokio::test]
async fn a_wildcard_in_an_events_subject_harms_nobody() -> Verdict {
    let way = Way::nats(true).await?;
    let log = Log::default();
    let node = start(&way, &log).await?;
    let url = way.url().ok_or("no server")?;
    let subject = format!("{}.evt.box.*", way.namespace);
    let said = smuggle(&url, &subject, "ce-type: box.filled", &good())?;
    assert!(said.contains("Invalid Publish Subject"), "{said}");
    fill(&node.client(), "a").await?;
    assert_eq!(log.of(1).await, ["filled a"]);
    assert_eq!(way.dead_letters().await?.len(), 0);
    Ok(node.stop().await?)
}

#[tokio::test]
async fn an_event_whose_id_is_too_long_is_a_dead_letter_and_its_trace_is_ignored() -> Verdict {
    both_buses(async |way| {
        let log = Log::default();
        let node = start(way, &log).await?;
        for name in [CE_ID, CE_CORRELATION, CE_CAUSATION] {
            let mut headers = typed("box.filled")?;
            headers.insert(name, "x".repeat(257))?;
            publish(
                way,
                "a",
                headers,
                &codec::encode(&Filled { item: "a".into(), count: 1 })?,
            )
            .await?;
        }
        let mut traced = typed("box.filled")?;
        traced.insert(TRACEPARENT, "x".repeat(257))?;
        publish(
            way,
            "a",
            traced,
            &codec::encode(&Filled { item: "a".into(), count: 1 })?,
        )
        .await?;
        assert_eq!(log.of(1).await, ["filled a"]);
        for (name, reason) in [CE_ID, CE_CORRELATION, CE_CAUSATION]
            .into_iter()
            .zip(way.dead(3, CB_DEAD_REASON).await)
        {
            assert!(reason.contains(name) && reason.contains("257"), "{reason}");
        }
        Ok(node.stop().await?)
    })
    .await
}
