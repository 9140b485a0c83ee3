//! Nodes are replaced one after the other, and no call fails.

use crate::{
    support::way::{Verdict, Way, both_buses, until},
    yard::{Double, nodes, quick, yard},
};
use callboard::{Client, RouteTable};
use futures_util::future::join_all;
use std::{
    error::Error,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
};

const IN_FLIGHT: usize = 64;
const ROUNDS: usize = 4;

/// Calls again and again; returns how many were answered, and what went wrong.
async fn call(client: &Client, going: &AtomicBool, count: &AtomicU64) -> Vec<String> {
    let mut wrong = Vec::new();
    while going.load(Relaxed) {
        match client.call(Double { number: 4 }).await {
            Ok(8) => drop(count.fetch_add(1, Relaxed)),
            other => wrong.push(format!("{other:?}")),
        }
    }
    wrong
}

/// Replaces three nodes in turn while they are called; returns what went wrong.
async fn replace(way: &Way, spread: &str) -> Result<Vec<String>, Box<dyn Error>> {
    let table = format!(r#"{{"route": [{{"to": "yard", "spread": "{spread}"}}]}}"#);
    let table: RouteTable = serde_json::from_str(&table)?;
    let mut running = Vec::new();
    for name in ["a", "b", "c"] {
        running.push(quick(way, name).group(yard()).start().await?);
    }
    let caller = quick(way, "caller").start().await?;
    caller.set_routes(&table).await?;
    until("all", async || nodes(&caller.roster(), "yard").len() == 3).await;
    let (client, going) = (caller.client(), AtomicBool::new(true));
    let count = AtomicU64::new(0);
    let calling = join_all((0..IN_FLIGHT).map(|_| call(&client, &going, &count)));
    let replacing = async {
        for round in 0..ROUNDS {
            // The old one first: two must do.
            running.remove(0).stop().await?;
            let fresh = quick(way, &format!("n-{round}"));
            running.push(fresh.group(yard()).start().await?);
        }
        going.store(false, Relaxed);
        Ok::<_, Box<dyn Error>>(())
    };
    let (wrong, replaced) = tokio::join!(calling, replacing);
    replaced?;
    running.push(caller);
    for node in running {
        node.stop().await?;
    }
    eprintln!("{spread}: {} answered", count.load(Relaxed));
    Ok(wrong.into_iter().flatten().collect())
}

#[tokio::test]
async fn no_call_fails_while_nodes_are_replaced() -> Verdict {
    both_buses(async |way| {
        for spread in ["least-in-flight", "round-robin", "key"] {
            let wrong = replace(way, spread).await?;
            assert!(
                wrong.is_empty(),
                "{spread}, {}: {:?}",
                wrong.len(),
                wrong.first()
            );
        }
        // Not over NATS: its client forgets a queue's subscription that drains
        // before the server has, and what is on its way at that moment is lost.
        if way.is_embedded() {
            assert_eq!(replace(way, "queue").await?, Vec::<String>::new());
        }
        Ok(())
    })
    .await
}
