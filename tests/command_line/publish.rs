use super::{
    shell::{piped, run, serve},
    support::nats::Server,
};
use callboard::{Bus, bus::StreamConfig, message::Namespace};
use serde_json::Value;
use std::time::Duration;
use tokio::time::timeout;

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_stored_as_the_library_stores_it_and_once_per_id() {
    let server = Server::start();
    serve(&server, &["orders"]).await;
    let words = [
        "publish",
        "orders.placed",
        "--key",
        "o 1",
        "--id",
        "import-17",
        r#"{"total":2500}"#,
    ];
    assert_eq!(
        run(&server, &words).await.done(),
        "callboard_EVT_orders 1 import-17\n"
    );
    let again = run(&server, &words).await.done();
    assert!(
        again.starts_with("callboard_EVT_orders 1 import-17 duplicate"),
        "{again}"
    );

    let bus = Bus::nats(server.url()).await.unwrap();
    let config = StreamConfig::events(&Namespace::default(), "orders");
    let stream = bus
        .stream(&config)
        .await
        .expect("it is the stream a node would make");
    let all = stream
        .read("callboard.evt.orders.*", 1)
        .await
        .unwrap()
        .all()
        .await
        .unwrap();
    let [event] = &all[..] else { panic!("{all:?}") };
    assert_eq!(event.subject, "callboard.evt.orders.o=201");
    assert_eq!(event.payload[..], *b"\x81\xA5total\xCD\x09\xC4");
    let header = |name| event.headers.get(name).unwrap_or_default();
    assert_eq!(header("ce-type"), "orders.placed");
    assert_eq!(header("ce-id"), "import-17");
    assert_eq!(header("Nats-Msg-Id"), "import-17");
    assert_eq!(header("content-type"), "application/msgpack");
    assert!(header("ce-source").starts_with("/callboard/cli/"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_payload_comes_from_a_pipe_or_a_file_too() {
    let server = Server::start();
    serve(&server, &["orders"]).await;
    let words = ["publish", "orders.placed", "--key", "o-1", "-"];
    piped(&server, &words, "{\n  \"total\": 1\n}\n")
        .await
        .done();
    let file = std::env::temp_dir().join(format!("callboard-{}.json", server.port()));
    std::fs::write(&file, r#"{"total":2}"#).unwrap();
    let at = format!("@{}", file.display());
    let stored = run(&server, &["publish", "orders.placed", "--key", "o-1", &at]).await;
    std::fs::remove_file(&file).unwrap();
    stored.done();
    let all = run(&server, &["tail", "--no-follow", "--json"])
        .await
        .done();
    let totals: Vec<_> = all
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["data"]["total"].clone())
        .collect();
    assert_eq!(totals, [1, 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_with_more_copies_or_other_settings_is_no_surprise() {
    let server = Server::start();
    let bus = Bus::nats(server.url()).await.unwrap();
    let shop = Namespace::new("shop").unwrap();
    let mut other = StreamConfig::events(&shop, "orders");
    other.partitions = 3;
    bus.stream(&other).await.unwrap();
    let words = [
        "--namespace",
        "shop",
        "publish",
        "orders.placed",
        "--key",
        "o-1",
        "{}",
    ];
    let said = run(&server, &words).await.failed(1);
    assert!(
        said.contains("stream shop_EVT_orders exists with other settings"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_that_nobody_serves_is_told_and_nothing_is_made_in_it() {
    let server = Server::start();
    for words in [
        &["publish", "orders.placed", "--key", "o-1", "{}"][..],
        &["parked"],
        &["parked", "retry", "--all"],
        &["dead", "list"],
        &["saga", "list"],
        &["tail"],
        &["tail", "--no-follow"],
        &["tree"],
        &["nodes"],
        &["services"],
        &["jobs", "list", "orders"],
        &["streams", "list"],
        &["entity", "skipped"],
    ] {
        let said = run(&server, words).await.failed(4);
        assert!(said.contains("namespace `callboard`"), "{words:?}: {said}");
    }
    let bus = Bus::nats(server.url()).await.unwrap();
    assert_eq!(bus.streams().await.unwrap(), []);
    // A namespace whose nodes are down is none that nobody serves.
    serve(&server, &["orders"]).await;
    for words in [&["parked"][..], &["dead", "list"], &["saga", "list"]] {
        run(&server, words).await.done();
    }
    let said = run(
        &server,
        &["publish", "users.registered", "--key", "u", "{}"],
    )
    .await;
    assert!(said.failed(4).contains("the domain `users`"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_subject_gets_a_plain_message() {
    let server = Server::start();
    let bus = Bus::nats(server.url()).await.unwrap();
    let mut heard = bus.subscribe("shop.note.*", None).await.unwrap();
    let sent = run(&server, &["publish", "shop.note.hello", r#""hi""#])
        .await
        .done();
    assert_eq!(sent, "shop.note.hello 3 bytes\n");
    let message = timeout(Duration::from_secs(10), heard.next())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(message.payload[..], *b"\xA2hi");
    assert_eq!(
        message.headers.get("content-type"),
        Some("application/msgpack")
    );
}

const NONSENSE: &[(&[&str], &str)] = &[
    (&["publish", "orders.placed", "{}"], "--key o-1"),
    (
        &["publish", "orders.placed", "--key", "o-1", "{order: 1}"],
        "is not JSON",
    ),
    (
        &["publish", "orders.placed", "--key", "", "{}"],
        "names one entity",
    ),
    (
        &[
            "publish",
            "orders.placed",
            "--key",
            "k",
            "--id",
            "a\nb",
            "{}",
        ],
        "line break",
    ),
    (
        &[
            "publish",
            "orders.placed",
            "--key",
            "k",
            "18446744073709551616",
        ],
        "64 bits",
    ),
    (
        &["publish", "orders.placed", "--key", "k", "@/no/such/file"],
        "cannot be read",
    ),
    (
        &["publish", "Orders.Placed", "--key", "k", "{}"],
        "as in `orders.placed`",
    ),
    (
        &["publish", "shop.note.*", "{}"],
        "no empty token, wildcard",
    ),
    (
        &["publish", "shop.note.hello", "--key", "k", "{}"],
        "give a type",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_published_is_a_usage_error_that_names_the_cure() {
    let server = Server::start();
    for (words, cure) in NONSENSE {
        let said = run(&server, words).await.failed(2);
        assert!(said.contains(cure), "{words:?}: {said}");
    }
}
