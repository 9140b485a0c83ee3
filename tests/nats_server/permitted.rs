//! Users whose permissions tell nodes, operators and onlookers apart.

use crate::{
    house::{Count, Ring, node},
    support::{
        nats::Server,
        way::{Verdict, until},
    },
};
use callboard::{
    Bus, Client, breaker,
    bus::{Message, nats::Options},
    message::Namespace,
    policy::{Force, Policies},
    projection::rebuild,
};
use std::time::Duration;

/// How long an answer may take that does not come.
const WITHIN: Duration = Duration::from_secs(2);

/// What nodes need, and what may be said and asked by one who is no node.
const USERS: &str = r#"
    authorization { users: [
        { user: node, password: p, permissions {
            publish: { allow: ["shop.>", "_INBOX.>", "$JS.>"], deny: "shop.sys.operator.>" }
            subscribe: ["shop.>", "_INBOX.>", "$SRV.>"]
        } }
        { user: teller, password: p, permissions {
            publish: ["shop.sys.node.>", "_INBOX.>", "$JS.API.INFO"], subscribe: "_INBOX.>"
        } }
        { user: onlooker, password: p, permissions {
            publish: ["shop.sys.ask.>", "_INBOX.>", "$JS.API.INFO"], subscribe: "_INBOX.>"
        } }
        { user: operator, password: p, permissions {
            publish: ["shop.sys.operator.>", "shop.sys.ask.>", "_INBOX.>", "$JS.API.INFO"]
            subscribe: "_INBOX.>"
        } }
    ] }"#;

async fn user(server: &Server, name: &str) -> Result<Client, Box<dyn std::error::Error>> {
    let bus = Bus::nats(Options::new(server.url()).user(name, "p")).await?;
    Ok(Client::new(bus, Namespace::new("shop")?))
}

/// Gives each kind of order, and returns what is said to each.
async fn orders(client: &Client) -> [Result<(), String>; 3] {
    fn said<T>(told: Result<T, impl ToString>) -> Result<(), String> {
        told.map(drop).map_err(|error| error.to_string())
    }
    [
        said(breaker::set_policies(client, &Policies::new(), WITHIN).await),
        said(breaker::force(client, "house.ring", Force::Open, WITHIN).await),
        said(rebuild(client, "house/rings", WITHIN).await),
    ]
}

#[tokio::test]
async fn who_may_speak_for_nodes_only_cannot_give_orders_and_is_told_so() -> Verdict {
    let server = Server::with(USERS);
    let nodes = user(&server, "node").await?;
    let running = node("n1", nodes.bus()).start().await?;
    let client = running.client();
    client.call(Ring { bell: "door".into() }).await?;
    let mut heard = nodes.bus().subscribe("shop.sys.node.test", None).await?;
    for name in ["teller", "onlooker", "node"] {
        let client = user(&server, name).await?;
        for told in orders(&client).await {
            let error = told.expect_err("it may not order anything");
            assert!(
                error.contains("Permissions Violation") && error.contains("shop.sys.operator."),
                "{name}: {error}"
            );
        }
    }
    // Each may do what it may.
    let teller = user(&server, "teller").await?;
    let word = Message::new("shop.sys.node.test", "a word");
    teller.bus().send(word.clone()).await?;
    assert_eq!(
        heard.next().await.map(|heard| heard.payload),
        Some(word.payload)
    );
    let tree = Message::new("shop.sys.ask.tree", "");
    let onlooker = user(&server, "onlooker").await?;
    onlooker.bus().request(tree.clone(), WITHIN).await?;
    let refused = teller.bus().request(tree, WITHIN).await;
    assert!(refused.is_err(), "it may not ask");
    let told = orders(&user(&server, "operator").await?).await;
    assert!(told.iter().all(Result::is_ok), "{told:?}");
    until("the rebuilt model", async || {
        client.call(Count).await.is_ok_and(|count| count == 1)
    })
    .await;
    Ok(running.stop().await?)
}
