use super::{
    ask::{Charge, payments},
    shell::{Going, run},
    support::nats::Server,
};
use callboard::{
    Bus, Node, Running,
    policy::{Bulkhead, By, Policies, Policy, Rate},
};
use serde_json::Value;
use std::time::Duration;

/// Starts a node that answers and calls, with a limit of each kind but one.
async fn start(server: &Server) -> Running {
    let minute = Duration::from_mins(1);
    let policy = Policy::new()
        .accept(Rate::new(500, minute).window().by(By::Caller))
        .rate(Rate::new(2, minute).by(By::Field("order".to_owned())))
        .bulkhead(Bulkhead::default());
    let bus = Bus::nats(server.url()).await.expect("the server is up");
    let node = Node::new("n-1", bus)
        .in_hand(300)
        .group(payments())
        .policies(Policies::new().domain("payments", policy));
    node.start().await.expect("the node is sound")
}

fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_are_shown_and_watched() {
    let server = Server::start();
    let nobody = run(&server, &["limits"]).await.failed(4);
    assert!(nobody.contains("no node answers"), "{nobody}");

    let node = start(&server).await;
    let client = node.client();
    for _ in 0..2 {
        let charge = Charge { order: "o-1".to_owned(), amount: 1 };
        client.call(charge).await.expect("it is within the rate");
    }
    let charge = Charge { order: "o-1".to_owned(), amount: 1 };
    client.call(charge).await.expect_err("it is over the rate");

    let shown = run(&server, &["limits"]).await.done();
    let rows: Vec<_> = shown.lines().map(words).collect();
    assert_eq!(
        rows[1],
        ["in-hand", "all", "n-1", "0/300", "-", "0"],
        "{shown}"
    );
    let accept = "accept payments.charge n-1 2/500 - 0 500 in 1m by caller; of 1 most by client";
    assert_eq!(rows[2], words(accept), "{shown}");
    let rate = "rate payments.charge n-1 2/2 - 1 2 in 1m by order; of 1 most by o-1";
    assert_eq!(rows[3], words(rate), "{shown}");
    let bulkhead = ["bulkhead", "payments.charge", "n-1", "0/100", "0/100", "0"];
    assert_eq!(rows[4], bulkhead, "{shown}");

    let narrow = ["limits", "payments", "--node", "n-1", "--json"];
    let json = run(&server, &narrow).await.done();
    let lines: Vec<Value> = json
        .lines()
        .map(|line| serde_json::from_str(line).expect("a line of JSON"))
        .collect();
    let kinds: Vec<_> = lines.iter().map(|line| &line["kind"]).collect();
    assert_eq!(kinds, ["accept", "rate", "bulkhead"]);
    let rate = &lines[1];
    assert_eq!(
        (&rate["node"], &rate["refused"]),
        (&"n-1".into(), &1.into())
    );
    assert_eq!(
        (&rate["per"], &rate["by"]["field"]),
        (&"1m".into(), &"order".into())
    );

    let mut watching = Going::start(&server, &["limits", "--watch"]);
    for _ in 0..2 {
        assert!(watching.line().await.starts_with("LIMIT "));
        while !watching.line().await.is_empty() {}
    }
    node.stop().await.expect("it stops");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_or_a_node_that_is_not_there_is_told_with_the_cure() {
    let server = Server::start();
    let node = start(&server).await;
    let unknown = run(&server, &["limits", "users"]).await.failed(4);
    assert!(unknown.contains("has a limit of `users`"), "{unknown}");
    let gone = run(&server, &["limits", "--node", "n-9"]).await.failed(4);
    assert!(gone.contains("no node `n-9` answers"), "{gone}");
    node.stop().await.expect("it stops");
}
