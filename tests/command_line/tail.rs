use super::{
    shell::{Going, PATIENCE, ended, run, serve},
    support::nats::Server,
};
use callboard::{Bus, bus::Message};
use serde_json::Value;
use std::{
    io::{BufRead, BufReader, Write},
    net::TcpStream,
};
use tokio::{process::Command, time::timeout};

async fn publish(server: &Server, kind: &str, key: &str, json: &str) {
    let domain = kind.split('.').next().unwrap_or(kind);
    serve(server, &[domain]).await;
    run(server, &["publish", kind, "--key", key, json])
        .await
        .done();
}

#[tokio::test(flavor = "multi_thread")]
async fn history_and_what_follows_come_without_gap_or_repetition() {
    let server = Server::start();
    publish(&server, "orders.placed", "o-1", r#"{"n":1}"#).await;
    publish(&server, "payments.taken", "o-1", r#"{"n":2}"#).await;
    publish(&server, "orders.confirmed", "o-1", r#"{"n":3}"#).await;
    let mut tail = Going::start(&server, &["tail", "--all", "--json"]);
    for n in 1..=3 {
        assert_eq!(
            number(&tail.line().await),
            n,
            "the oldest of all streams first"
        );
    }
    publish(&server, "orders.placed", "o-2", r#"{"n":4}"#).await;
    publish(&server, "users.registered", "ada", r#"{"n":5}"#).await;
    for n in 4..=5 {
        assert_eq!(number(&tail.line().await), n);
    }
    interrupt(&tail).await;
    let status = timeout(PATIENCE, tail.child.wait()).await.unwrap().unwrap();
    assert_eq!(status.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_choose_by_domain_type_pattern_key_and_sequence() {
    let server = Server::start();
    publish(&server, "orders.placed", "o-1", r#"{"n":1}"#).await;
    publish(&server, "orders.placed", "o-2", r#"{"n":2}"#).await;
    publish(&server, "orders.cancelled", "o-1", r#"{"n":3}"#).await;
    publish(&server, "payments.cancelled", "o-1", r#"{"n":4}"#).await;
    for (words, expected) in [
        (&[][..], &[1, 2, 3, 4][..]),
        (&["orders"], &[1, 2, 3]),
        (&["orders.*"], &[1, 2, 3]),
        (&["orders.placed"], &[1, 2]),
        (&["*.cancelled"], &[3, 4]),
        (&["--key", "o-1"], &[1, 3, 4]),
        (&["orders", "--key", "o-1"], &[1, 3]),
        (&["orders", "--from", "2"], &[2, 3]),
        (&["--count", "2"], &[1, 2]),
        (&["users"], &[]),
    ] {
        let words = [&["tail", "--no-follow", "--json"], words].concat();
        let shown: Vec<_> = run(&server, &words)
            .await
            .done()
            .lines()
            .map(number)
            .collect();
        assert_eq!(shown, expected, "{words:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_has_time_type_key_and_payload_and_riddles_have_a_reason() {
    let server = Server::start();
    publish(&server, "orders.placed", "o-1", r#"{"total":2500}"#).await;
    let bus = Bus::nats(server.url()).await.unwrap();
    let riddle = Message::new("callboard.evt.orders.o-1", &b"\x93\x01"[..]);
    bus.send(riddle).await.unwrap();
    bus.close().await;
    let all = run(&server, &["tail", "orders.placed", "--all", "--count", "2"])
        .await
        .done();
    let lines: Vec<_> = all.lines().collect();
    let words: Vec<_> = lines[0].split_whitespace().collect();
    assert_eq!(words[1..], ["orders.placed", "o-1", r#"{"total":2500}"#]);
    assert!(
        words[0].starts_with("20") && words[0].ends_with('Z'),
        "{}",
        words[0]
    );
    assert!(lines[1].contains("! callboard.evt.orders.o-1 is no event, it has no `ce-type`"));
    assert!(
        lines[1].contains("the payload is not MessagePack"),
        "{}",
        lines[1]
    );
}

/// Stores an event whose header is no text.
fn publish_unreadable(server: &Server, subject: &str) -> std::io::Result<()> {
    let mut raw = TcpStream::connect(("127.0.0.1", server.port()))?;
    let head = b"NATS/1.0\r\nx: \xFF\r\n\r\n";
    write!(raw, "CONNECT {{\"headers\":true,\"verbose\":false}}\r\n")?;
    write!(raw, "HPUB {subject} {0} {0}\r\n", head.len())?;
    raw.write_all(head)?;
    write!(raw, "\r\nPING\r\n")?;
    let said = BufReader::new(raw).lines().map_while(Result::ok);
    assert!(said.into_iter().any(|line| line == "PONG"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreadable_event_is_shown_as_one_and_what_comes_after_it_too() {
    let server = Server::start();
    publish(&server, "orders.placed", "o-1", r#"{"n":1}"#).await;
    publish_unreadable(&server, "callboard.evt.orders.o-2").unwrap();
    publish(&server, "orders.placed", "o-3", r#"{"n":3}"#).await;
    let mut tail = Going::start(&server, &["tail", "--all", "--json"]);
    assert_eq!(number(&tail.line().await), 1);
    let unreadable = tail.line().await;
    assert!(unreadable.contains("cannot be read"), "{unreadable}");
    assert_eq!(number(&tail.line().await), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_leaves_ends_it_in_peace() {
    let server = Server::start();
    publish(&server, "orders.placed", "o-1", "{}").await;
    let mut tail = Going::start(&server, &["tail", "--all"]);
    tail.line().await;
    let child = tail.deafen();
    publish(&server, "orders.placed", "o-2", "{}").await;
    let ran = ended(child).await;
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_comes_back_is_waited_for() {
    let mut server = Server::start();
    publish(&server, "orders.placed", "o-1", r#"{"n":1}"#).await;
    let mut tail = Going::start(&server, &["tail", "--all", "--json"]);
    assert_eq!(number(&tail.line().await), 1);
    server.restart();
    publish(&server, "orders.placed", "o-2", r#"{"n":2}"#).await;
    assert_eq!(number(&tail.line().await), 2);
}

#[track_caller]
fn number(line: &str) -> u64 {
    let event: Value = serde_json::from_str(line).expect("each line is JSON");
    event["data"]["n"].as_u64().expect("the payload is decoded")
}

async fn interrupt(tail: &Going) {
    let pid = tail.child.id().expect("it runs").to_string();
    let sent = Command::new("kill").args(["-INT", &pid]).status().await;
    assert!(sent.is_ok_and(|sent| sent.success()));
}
