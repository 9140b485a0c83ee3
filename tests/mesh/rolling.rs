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

/// How much is asked for at once, and how often a node is replaced by another.
struct Load {
    in_flight: usize,
    replaced: usize,
}

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
async fn replace(way: &Way, spread: &str, load: &Load) -> Result<Vec<String>, Box<dyn Error>> {
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
    let calling = join_all((0..load.in_flight).map(|_| call(&client, &going, &count)));
    let replacing = async {
        for round in 0..load.replaced {
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
    eprintln!(
        "{spread}, {} replaced: {} answered",
        load.replaced,
        count.load(Relaxed)
    );
    Ok(wrong.into_iter().flatten().collect())
}

/// Nobody tries anything twice here, so that none is retried either.
async fn none_fails(load: Load) -> Verdict {
    both_buses(async |way| {
        for spread in ["least-in-flight", "round-robin", "key", "queue"] {
            let wrong = replace(way, spread, &load).await?;
            let first = wrong.first();
            assert!(first.is_none(), "{spread}, {}: {first:?}", wrong.len());
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn no_call_fails_while_nodes_are_replaced() -> Verdict {
    none_fails(Load { in_flight: 64, replaced: 4 }).await
}

/// All three nodes twenty times, as each way of spreading has it:
/// `cargo test --test mesh -- --ignored --nocapture three_nodes_are_replaced_twenty_times`,
/// a few minutes.
#[tokio::test]
#[ignore = "takes minutes"]
async fn no_call_fails_while_three_nodes_are_replaced_twenty_times() -> Verdict {
    none_fails(Load { in_flight: 256, replaced: 3 * 20 }).await
}
