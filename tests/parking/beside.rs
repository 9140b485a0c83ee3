//! A stream that takes nothing holds up the key that needs it, and no other.

use crate::{
    farm::{Farm, sown},
    support::{nats::Server, way::Verdict},
};
use callboard::{Bus, Client, Node, bus::partition, message::Namespace};
use std::time::Duration;
use tokio::time::timeout;

/// Lets a user do all but publish on some subjects.
fn forbidding(subjects: &str) -> Server {
    let node = format!(
        r#"{{ user: node, password: p, permissions: {{ publish: {{ deny: ["{subjects}"] }} }} }}"#
    );
    Server::with(&format!(
        "authorization {{ users: [ {node}, {{ user: op, password: p }} ] }}"
    ))
}

async fn others_flow_though_nobody_may_publish_on(subjects: &str, farm: &Farm) -> Verdict {
    let server = forbidding(subjects);
    let url = |user: &str| format!("nats://{user}:p@127.0.0.1:{}", server.port());
    let names: Namespace = "t".parse()?;
    let node = Node::new("n", Bus::nats(url("node")).await?).namespace("t");
    let node = node.group(farm.group()).start().await?;
    let client = Client::new(Bus::nats(url("op")).await?, names);
    let keys = (0..).map(|n| format!("k{n}-"));
    let mine = |key: &String| partition(key, 8) == partition("a", 8);
    let keys: Vec<_> = keys.filter(mine).take(20).collect();
    client.publish(sown("a", 1)).await?;
    client.publish(sown("a", 2)).await?;
    let flow = async {
        for n in 0..10 {
            for key in &keys {
                client.publish(sown(key, n)).await?;
            }
            farm.log.of(keys.len() * (n as usize + 1)).await;
        }
        Verdict::Ok(())
    };
    // A write that nobody confirms is given up after 10 s.
    timeout(Duration::from_secs(8), flow).await??;
    let all = keys.len() * 10;
    assert_eq!(farm.log.lines().len(), all, "the key itself waits");
    drop(timeout(Duration::from_secs(30), node.stop()).await);
    Ok(())
}

#[tokio::test]
async fn a_dead_letter_that_cannot_be_stored_holds_up_its_own_key_only() -> Verdict {
    let farm = Farm::default();
    farm.refuse("a1");
    let flow = others_flow_though_nobody_may_publish_on("*.dead.>", &farm);
    timeout(Duration::from_secs(40), flow).await?
}

#[tokio::test]
async fn a_key_that_cannot_be_parked_holds_up_no_other() -> Verdict {
    let farm = Farm::default();
    farm.spoil("a1");
    let flow = others_flow_though_nobody_may_publish_on("*.park.key.>", &farm);
    timeout(Duration::from_secs(40), flow).await?
}
