use super::{shell::run, support::nats::Server};
use callboard::{Bus, Group, Node, policy::Breaker};
use serde_json::Value;

#[tokio::test(flavor = "multi_thread")]
async fn breakers_are_shown_and_forced() {
    let server = Server::start();
    let nobody = run(&server, &["breakers"]).await.failed(4);
    assert!(nobody.contains("no node answers"), "{nobody}");

    let gateway = Breaker::new("gateway");
    let bus = Bus::nats(server.url()).await.expect("the server is up");
    let node = Node::new("n-1", bus).group(Group::new("payments").child(gateway.clone()));
    let node = node.start().await.expect("the node is sound");
    gateway
        .guard(async { Ok::<_, std::io::Error>(()) })
        .await
        .expect("it is closed");

    let shown = run(&server, &["breakers"]).await.done();
    let row: Vec<_> = shown
        .lines()
        .nth(1)
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    assert_eq!(row[..4], ["gateway", "n-1", "closed", "1"], "{shown}");
    let forced = run(&server, &["breakers", "force", "gateway", "open"])
        .await
        .done();
    assert!(forced.contains("forced-open"), "{forced}");
    gateway
        .guard(async { Ok::<_, std::io::Error>(()) })
        .await
        .expect_err("it is open");
    let json = run(&server, &["breakers", "gateway", "--json"])
        .await
        .done();
    let line: Value = serde_json::from_str(&json).expect("one line of JSON");
    assert_eq!(
        (&line["state"], &line["counts"]["rejected"]),
        (&"forced-open".into(), &1.into())
    );
    let unknown = run(&server, &["breakers", "force", "gate", "auto"])
        .await
        .failed(4);
    assert!(unknown.contains("a breaker `gate`"), "{unknown}");
    node.stop().await.expect("it stops");
}
