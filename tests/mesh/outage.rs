//! Nodes that are cut off are gone, and are there again soon after.

use crate::{
    support::{
        cable::Cable,
        way::{Verdict, Way, until},
    },
    yard::{HEARTBEAT, TTL, nodes, yard},
};
use callboard::{Bus, Node, Running};
use std::time::Duration;
use tokio::time::Instant;

/// How long after healing all must know one another again.
const CONVERGED: Duration = Duration::from_secs(1 + 2);

async fn start(way: &Way, name: &str, bus: Bus) -> Result<Running, callboard::NodeError> {
    let node = Node::new(name, bus)
        .namespace(&way.namespace)
        .heartbeat(HEARTBEAT, TTL);
    node.group(yard()).start().await
}

#[tokio::test]
async fn a_node_that_was_cut_off_is_known_again_soon_after_it_is_back() -> Verdict {
    let way = Way::nats(true).await?;
    let cable = Cable::before(&way.url().ok_or("a server")?).await?;
    let far = Bus::nats(cable.url()).await?;
    let one = start(&way, "one", way.bus.clone()).await?;
    let two = start(&way, "two", way.bus.clone()).await?;
    let far = start(&way, "far", far).await?;
    let all = ["far", "one", "two"];
    let know = |wanted: &[&str], of: &[&Running]| {
        of.iter()
            .all(|node| nodes(&node.roster(), "yard") == wanted)
    };
    until("all", async || know(&all, &[&one, &two, &far])).await;
    for _ in 0..3 {
        cable.cut();
        until("the cut", async || {
            know(&["one", "two"], &[&one, &two]) && know(&["far"], &[&far])
        })
        .await;
        cable.mend();
        let healed = Instant::now();
        until("all again", async || know(&all, &[&one, &two, &far])).await;
        let took = healed.elapsed();
        assert!(took < CONVERGED, "{took:?}");
    }
    for node in [far, two, one] {
        node.stop().await?;
    }
    Ok(())
}
