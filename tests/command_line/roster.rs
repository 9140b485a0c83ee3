use super::{
    ask::payments,
    shell::run,
    support::{nats::Server, way::until_within},
};
use callboard::{
    Bus, Node, Running,
    bus::Message,
    message::{Namespace, codec},
    policy::Policies,
    time::Clock,
};
use serde_json::{Value, json};
use std::time::Duration;

/// How long a node may take to tell what it has seen, on a busy machine.
const SIGN: Duration = Duration::from_secs(20);

/// Starts a node that has a group of the runtime's own beside its service.
async fn start(server: &Server) -> Running {
    let bus = Bus::nats(server.url()).await.expect("a server");
    let node = Node::new("n-1", bus).policies(Policies::new());
    let quick = node.heartbeat(Duration::from_millis(300), Duration::from_secs(2));
    quick.group(payments()).start().await.expect("a sound node")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_not_there_is_told_and_not_drawn_as_an_empty_table() {
    let server = Server::start();
    let one = start(&server).await;
    let absent = run(&server, &["services", "nope"]).await.failed(4);
    assert!(
        absent.contains("no node in namespace `callboard` has a service `nope`"),
        "{absent}"
    );
    let narrow = ["services", "payments", "--version-in", ">=2"];
    let none = run(&server, &narrow).await.failed(4);
    assert!(none.contains("none of 1 instances of `payments`"), "{none}");
    // Totals are of what is shown.
    let none = run(&server, &["services", "--tag", "gold"]).await.done();
    assert!(
        none.ends_with("\n0 services, 0 instances, 0 healthy\n"),
        "{none}"
    );
    one.stop().await.expect("it stops");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_runtimes_own_groups_and_who_is_no_service_are_left_out() {
    let server = Server::start();
    let one = start(&server).await;
    let charge = r#"{"order": "o-1", "amount": 7}"#;
    run(&server, &["request", "payments.charge", charge]).await;
    let shown = run(&server, &["services"]).await.done();
    assert!(shown.contains("\n1 services, 1 instances"), "{shown}");
    let json = run(&server, &["services", "--json"]).await.done();
    let told: Value = serde_json::from_str(&json).expect("one line of JSON");
    assert_eq!(told["answers"], json!(["payments.charge"]));
    // The node tells who called it with its next sign of life.
    until_within(SIGN, "word of the caller", async || {
        let json = run(&server, &["services", "--json"]).await.done();
        let told: Value = serde_json::from_str(&json).expect("one line of JSON");
        let is_told = told["callers"] == json!(["cli"]);
        is_told.then_some(()).ok_or_else(|| told.to_string())
    })
    .await;
    let graph = run(&server, &["graph"]).await.done();
    assert_eq!(graph, "payments  1 instance\n");
    one.stop().await.expect("it stops");
}

/// Lives as a node of another program whose clock is so far from this one's.
async fn live(bus: &Bus, off_ms: i64) {
    let names = Namespace::default();
    let card = json!({
        "instance": "far-1", "node": "far", "revision": 1, "ttl_ms": 60_000, "services": [],
    });
    let clock_ms = Clock::system().unix_ms().saturating_add_signed(off_ms);
    let beat = json!({ "instance": "far-1", "revision": 1, "clock_ms": clock_ms });
    for (subject, word) in [
        ("node.presence.news.card", card),
        ("node.presence.beat", beat),
    ] {
        let word = codec::encode(&word).expect("it is short");
        let message = Message::new(names.system(subject), word);
        bus.send(message).await.expect("a server");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_differs_is_shown() {
    let server = Server::start();
    let one = start(&server).await;
    let bus = Bus::nats(server.url()).await.expect("a server");
    let fine = run(&server, &["nodes"]).await.done();
    assert!(!fine.contains("CLOCK"), "{fine}");
    for off_ms in [10_000, -10_000] {
        until_within(SIGN, "clock that differs", async || {
            live(&bus, off_ms).await;
            let json = run(&server, &["nodes", "--json"]).await.done();
            let told = json.lines().find_map(|line| {
                let told: Value = serde_json::from_str(line).ok()?;
                told["clock_off_ms"].as_i64()
            });
            let is_told = told.is_some_and(|told| (told - off_ms).abs() < 5_000);
            is_told.then_some(()).ok_or(json)
        })
        .await;
        let shown = run(&server, &["nodes"]).await.done();
        assert!(
            shown.contains("HEARD") && shown.contains("CLOCK"),
            "{shown}"
        );
        assert!(
            shown.contains("calls between these nodes end with 408"),
            "{shown}"
        );
    }
    one.stop().await.expect("it stops");
}
