use super::{
    shell::{at, run},
    support::{
        folder::Folder,
        nats::Server,
        raw::{Raw, UNREADABLE},
    },
};
use callboard::{
    Bus,
    bus::{Expect, Message, Stream, StreamConfig},
    error::BoxError,
    message::{
        Headers, Namespace,
        headers::{CB_DEAD_REASON, MSG_ID},
    },
};
use serde_json::Value;
use std::path::Path;

/// Stores an unreadable message in each stream, as its second.
async fn filled(server: &Server) -> Bus {
    let bus = Bus::nats(server.url()).await.expect("the server is up");
    let names = Namespace::new("callboard").expect("it is sound");
    let streams = [
        (StreamConfig::events(&names, "orders"), "evt.orders.o-1"),
        (StreamConfig::parked(&names), "park.key.a.orders.0.o-1"),
        (StreamConfig::dead(&names), "dead.orders.desk"),
        (StreamConfig::sagas(&names, "checkout"), "saga.checkout.o-1"),
        (StreamConfig::snapshots(&names), "snap.orders.order.o-1"),
        (StreamConfig::skipped(&names), "skip.orders.o-1"),
    ];
    let mut raw = Raw::connect(&server.url()).expect("it is sound");
    for (config, subject) in streams {
        bus.stream(&config).await.expect("the server is up");
        let subject = format!("callboard.{subject}");
        raw.publish(&subject, b"NATS/1.0\r\nx: sound\r\n\r\n", b"first")
            .expect("it is sound");
        raw.publish(&subject, UNREADABLE[1].1, b"second")
            .expect("it is sound");
    }
    raw.sync().expect("it is sound");
    bus
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_deleted_where_that_is_allowed_and_kept_with_who_and_why() {
    let server = Server::start();
    let bus = filled(&server).await;
    let words = [
        "streams",
        "drop",
        "callboard_PARK",
        "2",
        "--reason",
        "case 4711",
    ];
    let said = run(&server, &words).await.done();
    assert!(said.contains("callboard_PARK 2 is deleted"), "{said}");
    assert!(said.contains("callboard dead show 3"), "{said}");
    let shown = run(&server, &["dead", "show", "3"]).await.done();
    for words in [
        "case 4711",
        "deleted by ",
        "@",
        "callboard_PARK 2",
        "cb-unreadable",
    ] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
    let names = Namespace::new("callboard").unwrap();
    let letters = bus.stream(&StreamConfig::dead(&names)).await.unwrap();
    let letter = letters
        .read(">", 3)
        .await
        .unwrap()
        .next()
        .await
        .unwrap()
        .unwrap();
    assert_eq!(letter.payload, [UNREADABLE[1].1, b"second"].concat());
    let parks = bus.stream(&StreamConfig::parked(&names)).await.unwrap();
    assert_eq!(parks.info().await.unwrap().messages, 1);
    let again = run(&server, &words).await.failed(1);
    assert!(again.contains("streams list"), "{again}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_not_deleted_and_it_is_said_what_to_do() {
    let server = Server::start();
    let bus = filled(&server).await;
    let words = [
        "streams",
        "drop",
        "callboard_EVT_orders",
        "2",
        "--reason",
        "x",
    ];
    let said = run(&server, &words).await.failed(1);
    assert!(
        said.contains("deny_delete") && said.contains("entity skip"),
        "{said}"
    );
    let names = Namespace::new("callboard").unwrap();
    let letters = bus.stream(&StreamConfig::dead(&names)).await.unwrap();
    assert_eq!(
        letters.info().await.unwrap().messages,
        2,
        "nothing is recorded"
    );
    let other = ["streams", "drop", "OTHERS", "1", "--reason", "x"];
    let said = run(&server, &other).await.failed(1);
    assert!(said.contains("OTHERS"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_are_listed_with_what_may_be_deleted() {
    let server = Server::start();
    let _bus = filled(&server).await;
    let said = run(&server, &["streams", "list", "--json"]).await.done();
    let streams: Vec<Value> = said
        .lines()
        .map(|line| serde_json::from_str(line).expect("each line is JSON"))
        .collect();
    assert_eq!(streams.len(), 6);
    for stream in streams {
        let is_events = stream["stream"] == "callboard_EVT_orders";
        assert_eq!(stream["drop"], !is_events, "{stream}");
        let name = stream["stream"].as_str().unwrap_or_default();
        let keeps_last = ["callboard_SNAP", "callboard_SKIP"].contains(&name);
        let messages = if keeps_last { 1 } else { 2 };
        assert_eq!(stream["messages"], messages, "{stream}");
        assert_eq!(stream["last"], 2, "{stream}");
    }
    let table = run(&server, &["streams", "list"]).await.done();
    assert!(table.contains("callboard_PARK"), "{table}");
}

/// Whatever stands in a stream, what the operator needs then can be read.
#[tokio::test(flavor = "multi_thread")]
async fn lists_step_over_messages_that_cannot_be_read() {
    let server = Server::start();
    let _bus = filled(&server).await;
    for words in [
        &["parked"][..],
        &["dead", "list"],
        &["saga", "list"],
        &["tail", "--all", "--no-follow"],
    ] {
        let said = run(&server, words).await.done();
        if words[0] == "tail" {
            assert!(said.contains("cannot be read"), "{said}");
        }
    }
}

/// The store of an embedded bus has no server that could be asked.
#[tokio::test]
async fn the_streams_of_a_store_are_listed_and_a_message_dropped_without_a_server()
-> Result<(), BoxError> {
    let folder = Folder::fresh();
    let names = Namespace::new("callboard")?;
    let bus = Bus::embedded_at(folder.path())?;
    let parks = bus.stream(&StreamConfig::parked(&names)).await?;
    bus.stream(&StreamConfig::dead(&names)).await?;
    for id in ["1", "2"] {
        append_named(&parks, id).await?;
    }
    let data = folder.path().to_string_lossy().into_owned();
    let streams = async |verb: &[&str]| {
        let words = [&["streams"], verb, &["--data", &*data]].concat();
        at("nats://127.0.0.1:1", &words).await
    };
    let said = streams(&["list"]).await.failed(4);
    assert!(said.contains("in use"), "{said}");
    drop((bus, parks));
    let said = streams(&["list", "--json"]).await.done();
    assert!(
        said.contains(r#""stream":"callboard_PARK","messages":2,"last":2,"drop":true"#),
        "{said}"
    );
    let drop = ["drop", "callboard_PARK", "1", "--reason", "case 4711"];
    let said = streams(&drop).await.done();
    assert!(said.contains("callboard_PARK 1 is deleted"), "{said}");
    let said = streams(&drop).await.failed(1);
    assert!(said.contains("streams list"), "{said}");
    assert_dropped(folder.path(), &names).await?;
    let check = ["store", "check", "--data", &data];
    let said = at("nats://127.0.0.1:1", &check).await.done();
    assert!(said.contains("sound"), "{said}");
    let nowhere = folder.path().join("none").to_string_lossy().into_owned();
    let elsewhere = ["streams", "list", "--data", &nowhere];
    let said = at("nats://127.0.0.1:1", &elsewhere).await.failed(2);
    assert!(said.contains("no store"), "{said}");
    Ok(())
}

async fn append_named(parks: &Stream, id: &str) -> Result<(), BoxError> {
    let mut named = Headers::new();
    named.insert(MSG_ID, id)?;
    let record = Message::new("callboard.park.key.a.orders.0.o-1", id.to_owned());
    parks.append(record.headers(named), Expect::Any).await?;
    Ok(())
}

/// Checks that one of two records is gone, and that a letter says why.
async fn assert_dropped(store: &Path, names: &Namespace) -> Result<(), BoxError> {
    let bus = Bus::embedded_at(store)?;
    let parks = bus.stream(&StreamConfig::parked(names)).await?;
    assert_eq!(parks.info().await?.messages, 1);
    let letters = bus.stream(&StreamConfig::dead(names)).await?;
    let letter = letters
        .read(">", 1)
        .await?
        .next()
        .await?
        .ok_or("no letter")?;
    let reason = letter.headers.get(CB_DEAD_REASON).unwrap_or_default();
    assert!(
        reason.contains("case 4711") && reason.contains('@'),
        "{reason}"
    );
    Ok(())
}
