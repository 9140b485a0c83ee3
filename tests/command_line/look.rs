use super::{ask::payments, shell::run, support::nats::Server};
use callboard::{Bus, Node};
use serde_json::Value;

#[tokio::test(flavor = "multi_thread")]
async fn every_node_shows_its_tree() {
    let server = Server::start();
    let nobody = run(&server, &["tree", "--namespace", "shop"])
        .await
        .failed(4);
    assert!(
        nobody.contains("no node answers in namespace `shop`"),
        "{nobody}"
    );

    let mut nodes = Vec::new();
    for name in ["n-2", "n-1"] {
        let bus = Bus::nats(server.url()).await.unwrap();
        let node = Node::new(name, bus).namespace("shop").group(payments());
        nodes.push(node.start().await.unwrap());
    }
    let charge = ["--namespace", "shop", "request", "payments.charge"];
    let unlucky = [&charge[..], &[r#"{"order":"o-1","amount":13}"#]].concat();
    run(&server, &unlucky).await.failed(1);

    let drawn = run(&server, &["--namespace", "shop", "tree"]).await.done();
    let heads: Vec<_> = drawn
        .lines()
        .filter(|line| line.starts_with("n-"))
        .collect();
    let head = format!("n-1  callboard {}, ", env!("CARGO_PKG_VERSION"));
    assert!(heads[0].starts_with(&head), "{drawn}");
    assert!(heads[1].starts_with("n-2  "), "{drawn}");
    assert_eq!(drawn.matches("├─ payments").count(), 2, "{drawn}");
    assert_eq!(drawn.matches("│  └─ till").count(), 2, "{drawn}");
    assert_eq!(drawn.matches("└─ mesh").count(), 2, "{drawn}");
    assert!(
        drawn.contains("1 restart") && drawn.contains("unlucky"),
        "{drawn}"
    );
    assert!(!drawn.contains('\u{1b}'), "colours are for terminals");

    let words = ["--namespace", "shop", "tree", "--json", "--node", "n-2"];
    let tree: Value = serde_json::from_str(&run(&server, &words).await.done()).unwrap();
    assert_eq!(tree["node"], "n-2");
    assert_eq!(tree["groups"][0]["children"][0]["state"], "running");
    let unknown = run(&server, &["--namespace", "shop", "tree", "--node", "n-3"])
        .await
        .failed(4);
    assert!(unknown.contains("no node `n-3` answers"), "{unknown}");
    for node in nodes {
        node.stop().await.unwrap();
    }
}
