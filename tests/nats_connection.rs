//! What becomes of a connection to a NATS server when something goes wrong.

#![cfg(feature = "nats")]

mod support;

use callboard::{
    bus::{
        Bus, ConnectError, ConsumerConfig, Expect, Message, RequestError, SendError, StreamConfig,
        nats::Options,
    },
    message::{Headers, headers},
};
use std::{error::Error, time::Duration};
use support::nats::{Server, free_port};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpListener,
    task::{JoinSet, spawn_blocking},
    time::{Instant, sleep, timeout},
};

type Verdict = Result<(), Box<dyn Error>>;

/// How long something that must happen may take.
const SOON: Duration = Duration::from_secs(15);

fn message(subject: &str, id: &str) -> Message {
    let mut named = Headers::new();
    let sound = named.insert(headers::MSG_ID, id);
    assert_eq!(sound, Ok(()));
    Message::new(subject, id.to_owned()).headers(named)
}

fn orders() -> StreamConfig {
    let mut config = StreamConfig::new("ORDERS", ["orders.*".to_owned()]);
    config.partitions = 4;
    config
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unreachable_within_five_seconds() -> Verdict {
    let url = format!("nats://127.0.0.1:{}", free_port());
    let start = Instant::now();
    let Err(ConnectError::Unreachable { url: named, .. }) = Bus::nats(url.as_str()).await else {
        return Err("it connected".into());
    };
    assert!(url.ends_with(&named), "{named}");
    assert!(start.elapsed() < Duration::from_secs(6));
    Ok(())
}

#[tokio::test]
async fn a_server_that_starts_late_is_found() -> Verdict {
    let mut server = Server::start();
    server.kill();
    let url = server.url();
    let restarting = spawn_blocking(move || {
        server.restart();
        server
    });
    let (connected, server) = tokio::join!(Bus::nats(url), restarting);
    let _server = server?;
    connected?;
    Ok(())
}

#[tokio::test]
async fn an_address_that_is_none_is_refused() {
    for bad in ["", " , ", "nats://", "http://[", "nats://a b"] {
        let refused = Bus::nats(bad).await;
        assert!(
            matches!(refused, Err(ConnectError::Options { .. })),
            "{bad:?}: {refused:?}"
        );
    }
    let nowhere = Options::new("127.0.0.1").credentials_file("/nowhere/to/be.creds");
    let refused = Bus::nats(nowhere).await;
    assert!(
        matches!(refused, Err(ConnectError::Options { .. })),
        "{refused:?}"
    );
}

#[tokio::test]
async fn wrong_credentials_are_refused_and_right_ones_taken() -> Verdict {
    let server = Server::with("authorization { user: shop, password: s3cr3t }");
    let address = format!("127.0.0.1:{}", server.port());
    for wrong in [
        Options::new(server.url()),
        Options::new(server.url()).user("shop", "wr0ng"),
        Options::new(format!("nats://shop:wr0ng@{address}")),
        Options::new(server.url()).token("wr0ng"),
    ] {
        let refused = Bus::nats(wrong).await;
        let Err(ConnectError::Unauthorized { .. }) = &refused else {
            return Err(format!("{refused:?}").into());
        };
        assert!(!format!("{refused:?}").contains("wr0ng"), "{refused:?}");
    }
    let by_options = Bus::nats(Options::new(server.url()).user("shop", "s3cr3t")).await?;
    let by_address = Bus::nats(format!("nats://shop:s3cr3t@{address}")).await?;
    for bus in [by_options, by_address] {
        let stream = bus.stream(&orders()).await?;
        let shown = format!("{bus} {bus:?} {stream:?}");
        assert!(!shown.contains("s3cr3t"), "{shown}");
        assert!(shown.contains(&address), "{shown}");
        assert!(bus.reopen().await.is_ok());
    }
    Ok(())
}

#[tokio::test]
async fn a_token_lets_in() -> Verdict {
    let server = Server::with("authorization { token: s3cr3t }");
    Bus::nats(Options::new(server.url()).token("s3cr3t")).await?;
    let in_the_address = format!("nats://s3cr3t@127.0.0.1:{}", server.port());
    Bus::nats(in_the_address).await?;
    Ok(())
}

/// Answers one client as a server of another version would.
async fn old_server(version: &str) -> Result<(u16, JoinSet<()>), Box<dyn Error>> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    let info = format!(
        r#"INFO {{"server_id":"x","version":"{version}","max_payload":1048576,"headers":true,"jetstream":true}}"#
    );
    let mut serving = JoinSet::new();
    serving.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (reader, mut writer) = stream.into_split();
            let mut lines = BufReader::new(reader).lines();
            let mut sent = writer.write_all(format!("{info}\r\n").as_bytes()).await;
            while let (Ok(()), Ok(Some(line))) = (sent, lines.next_line().await) {
                let answer: &[u8] = if line == "PING" { b"PONG\r\n" } else { b"" };
                sent = writer.write_all(answer).await;
            }
        }
    });
    Ok((port, serving))
}

#[tokio::test]
async fn an_old_server_is_refused() -> Verdict {
    for version in ["2.9.10", "2.12.5"] {
        let (port, _serving) = old_server(version).await?;
        let refused = Bus::nats(format!("127.0.0.1:{port}")).await;
        let Err(ConnectError::TooOld { found, needed, .. }) = refused else {
            return Err(format!("{version}: {refused:?}").into());
        };
        assert_eq!((found.as_str(), needed), (version, "2.12.6"));
    }
    Ok(())
}

#[tokio::test]
async fn a_server_without_streams_is_refused() {
    let off = Server::with("# jetstream is not configured");
    let refused = Bus::nats(off.url()).await;
    assert!(
        matches!(refused, Err(ConnectError::NoStreams { .. })),
        "{refused:?}"
    );
}

#[tokio::test]
async fn an_account_without_streams_is_refused() {
    let config = "
        jetstream { store_dir: {store} }
        accounts {
            WITH { jetstream: enabled, users: [{ user: with, password: a }] }
            WITHOUT { users: [{ user: without, password: b }] }
        }";
    let server = Server::with(config);
    let without = Bus::nats(Options::new(server.url()).user("without", "b")).await;
    assert!(
        matches!(without, Err(ConnectError::NoStreams { .. })),
        "{without:?}"
    );
    let with = Bus::nats(Options::new(server.url()).user("with", "a")).await;
    assert!(with.is_ok(), "{with:?}");
}

#[tokio::test]
async fn a_forbidden_subscription_is_refused() -> Verdict {
    let config = r#"
        authorization { users: [{
            user: shop, password: a
            permissions { subscribe: ["_INBOX.>", "open.>"], publish: ">" }
        }] }"#;
    let server = Server::with(config);
    let bus = Bus::nats(Options::new(server.url()).user("shop", "a")).await?;
    bus.subscribe("open.*", None).await?;
    let refused = bus.subscribe("closed.*", None).await;
    assert!(refused.is_err(), "{refused:?}");
    Ok(())
}

#[tokio::test]
async fn while_disconnected_everything_fails_at_once() -> Verdict {
    let mut server = Server::start();
    let bus = Bus::nats(server.url()).await?;
    let stream = bus.stream(&orders()).await?;
    server.kill();
    let start = Instant::now();
    let subject = "a".to_owned();
    let gone = SendError::Disconnected { subject };
    while bus.send(Message::new("a", "")).await != Err(gone.clone()) {
        assert!(start.elapsed() < SOON, "the loss is not noticed");
        sleep(Duration::from_millis(5)).await;
    }
    let start = Instant::now();
    let asked = bus.request(Message::new("a", ""), SOON).await;
    assert_eq!(asked, Err(RequestError::Send(gone)));
    assert!(
        stream
            .append(message("orders.o-1", "1"), Expect::Any)
            .await
            .is_err()
    );
    assert!(bus.subscribe("a", None).await.is_err());
    assert!(bus.streams().await.is_err());
    assert!(start.elapsed() < Duration::from_secs(1));
    timeout(Duration::from_secs(4), bus.close()).await?;
    Ok(())
}

#[tokio::test]
async fn a_closed_bus_ends_its_subscriptions_and_consumers() -> Verdict {
    let server = Server::start();
    let bus = Bus::nats(server.url()).await?;
    let stream = bus.stream(&orders()).await?;
    let mut heard = bus.subscribe("a", None).await?;
    let mut consumer = stream.consumer(&ConsumerConfig::new("c")).await?;
    bus.send(Message::new("a", "last")).await?;
    timeout(Duration::from_secs(3), bus.close()).await?;
    let last = timeout(SOON, heard.next()).await?;
    assert_eq!(last.map(|last| last.payload), Some("last".into()));
    assert_eq!(timeout(SOON, heard.next()).await?, None);
    assert!(timeout(SOON, consumer.next()).await?.is_err());
    assert!(bus.send(Message::new("a", "")).await.is_err());
    Ok(())
}

#[tokio::test]
async fn a_deleted_consumer_is_made_again_behind_what_is_done() -> Verdict {
    let server = Server::start();
    let bus = Bus::nats(server.url()).await?;
    let stream = bus.stream(&orders()).await?;
    let mut consumer = stream.consumer(&ConsumerConfig::new("c")).await?;
    for id in ["1", "2"] {
        stream
            .append(message("orders.o-1", id), Expect::Any)
            .await?;
        timeout(SOON, consumer.next())
            .await??
            .ack_confirmed()
            .await?;
    }
    let delete = Message::new("$JS.API.CONSUMER.DELETE.ORDERS.c", "");
    bus.request(delete, SOON).await?;
    stream
        .append(message("orders.o-1", "3"), Expect::Any)
        .await?;
    let mut seen = Vec::new();
    while seen.last() != Some(&3) {
        let delivery = timeout(SOON, consumer.next()).await??;
        seen.push(delivery.message.sequence);
        delivery.ack().await?;
    }
    assert!(seen.is_sorted(), "{seen:?}");
    Ok(())
}

/// Who reads beside other work gives a wait up whenever there is something else to do.
#[tokio::test]
async fn a_consumer_mends_itself_though_each_wait_for_it_is_given_up_early() -> Verdict {
    let server = Server::start();
    let bus = Bus::nats(server.url()).await?;
    let stream = bus.stream(&orders()).await?;
    let mut consumer = stream.consumer(&ConsumerConfig::new("c")).await?;
    let delete = Message::new("$JS.API.CONSUMER.DELETE.ORDERS.c", "");
    bus.request(delete, SOON).await?;
    stream
        .append(message("orders.o-1", "1"), Expect::Any)
        .await?;
    let deadline = Instant::now() + SOON;
    loop {
        if let Ok(delivery) = timeout(Duration::from_millis(3), consumer.next()).await {
            assert_eq!(delivery?.message.sequence, 1);
            return Ok(());
        }
        assert!(Instant::now() < deadline, "it is never made again");
    }
}

#[tokio::test]
async fn a_deleted_stream_ends_its_consumers_and_refuses() -> Verdict {
    let server = Server::start();
    let bus = Bus::nats(server.url()).await?;
    let stream = bus.stream(&orders()).await?;
    let mut consumer = stream.consumer(&ConsumerConfig::new("c")).await?;
    let delete = Message::new("$JS.API.STREAM.DELETE.ORDERS", "");
    let (ended, deleted) = tokio::join!(timeout(SOON, consumer.next()), bus.request(delete, SOON));
    deleted?;
    assert!(ended?.is_err());
    let refused = timeout(SOON, stream.append(message("orders.o-1", "1"), Expect::Any)).await?;
    assert!(refused.is_err(), "{refused:?}");
    assert!(timeout(SOON, stream.last("orders.o-1")).await?.is_err());
    Ok(())
}
