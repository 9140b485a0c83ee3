//! A new version of a group gets a tenth of the calls, then half, then all, while
//! orders are placed; and who calls whom is as the groups say.

mod process;
#[path = "../../tests/support/mod.rs"]
mod support;

use callboard::{
    Bus, Node, RouteTable, Running,
    bus::Message,
    error::BoxError,
    mesh::Graph,
    message::headers::{CE_SOURCE, CE_TYPE},
};
use process::{Process, until_said};
use serde_json::Value;
use std::{
    process::{Command, Stdio},
    time::Duration,
};
use support::{
    nats::Server,
    way::{until, until_within},
};

/// How many calls may be under way while the table changes.
const AT_HAND: f64 = 20.0;

fn shop(server: &Server) -> Command {
    let mut shop = Command::new(env!("CARGO_BIN_EXE_shop"));
    shop.args(["--nats", &server.url()]).env("RUST_LOG", "warn");
    shop
}

fn start(server: &Server, arguments: &str) -> std::io::Result<Process> {
    let mut shop = shop(server);
    shop.args(arguments.split(' ')).stdout(Stdio::null());
    Ok(Process(shop.spawn()?))
}

/// Starts a node that hosts nothing, and knows who is there.
async fn watcher(server: &Server) -> Result<Running, BoxError> {
    let bus = Bus::nats(server.url()).await?;
    Ok(Node::new("watcher", bus).namespace("shop").start().await?)
}

/// Starts the shop, with payments in two versions.
fn shop_with_canary(server: &Server) -> std::io::Result<[Process; 3]> {
    Ok([
        start(
            server,
            "--node stable --groups payments --group-version payments=1.4.0",
        )?,
        start(
            server,
            "--node canary --groups payments --group-version payments=2.0.0",
        )?,
        start(
            server,
            "--node rest --groups users,products,inventory,notifications,orders",
        )?,
    ])
}

/// Returns how often payments of a node were asked for a charge; none may have failed.
async fn charges(watcher: &Running, node: &str) -> Result<f64, BoxError> {
    let payments = watcher.roster().of("payments");
    let found = payments.iter().find(|it| it.node() == node);
    let subject = format!("$SRV.STATS.payments.{}", found.ok_or("no such node")?.id());
    let bus = watcher.client().bus().clone();
    let told = bus
        .request(Message::new(subject, ""), Duration::from_secs(5))
        .await?;
    let told: Value = serde_json::from_slice(&told.payload)?;
    let endpoints = told["endpoints"].as_array().ok_or("no endpoints")?;
    let charge = endpoints.iter().find(|it| it["name"] == "charge");
    let charge = charge.ok_or("no charges")?;
    assert_eq!(charge["num_errors"], 0, "{charge}");
    Ok(charge["num_requests"].as_f64().ok_or("no number")?)
}

async fn both(watcher: &Running) -> Result<[f64; 2], BoxError> {
    Ok([
        charges(watcher, "stable").await?,
        charges(watcher, "canary").await?,
    ])
}

/// Gives the new version so many of a hundred charges, as `callboard routes set` does.
async fn give(watcher: &Running, percent: u32) -> Result<(), BoxError> {
    let rest = 100 - percent;
    let table = format!(
        r#"{{"route": [{{"to": "payments.charge", "rule": [{{"versions": {{"^1": {rest}, "^2": {percent}}}}}]}}]}}"#
    );
    let table: RouteTable = serde_json::from_str(&table)?;
    watcher.set_routes(&table).await?;
    Ok(())
}

/// Asserts that the new version got its share of what there was between two counts,
/// but for so many calls that were under way.
fn assert_share(percent: f64, at_hand: f64, [before, after]: [[f64; 2]; 2]) {
    let [stable, canary] = [after[0] - before[0], after[1] - before[1]];
    let (all, share) = (stable + canary, percent / 100.0);
    eprintln!("{percent} %: {canary} of {all} charges went to the new version");
    let spread = 5.0 * (all * share * (1.0 - share)).sqrt();
    assert!(
        (canary - all * share).abs() <= spread + at_hand,
        "{canary} of {all}"
    );
    assert!(all > 80.0, "only {all} charges");
}

async fn canary(orders: u32) -> Result<(), BoxError> {
    let server = Server::start();
    let _nodes = shop_with_canary(&server)?;
    let watcher = watcher(&server).await?;
    let count = |name: &str| {
        watcher
            .roster()
            .of(name)
            .iter()
            .filter(|it| it.is_healthy())
            .count()
    };
    until("the shop", async || {
        count("payments") == 2 && count("orders") == 1 && count("inventory") == 1
    })
    .await;
    give(&watcher, 10).await?;
    let began = both(&watcher).await?;
    let mut demo = shop(&server)
        .args(["demo", "--remote", "--orders", &orders.to_string()])
        .stdout(Stdio::piped())
        .spawn()?;
    let mut out = demo.stdout.take().ok_or("no output")?;
    let mut demo = Process(demo);
    until_said(&mut out, " 30 %")?;
    assert_share(10.0, 0.0, [began, both(&watcher).await?]);
    give(&watcher, 50).await?;
    let began = both(&watcher).await?;
    until_said(&mut out, " 60 %")?;
    assert_share(50.0, AT_HAND, [began, both(&watcher).await?]);
    give(&watcher, 100).await?;
    let began = both(&watcher).await?;
    let sums = until_said(&mut out, "out of stock")?;
    assert!(demo.0.wait()?.success(), "{sums}");
    assert!(sums.contains(&format!("{orders} orders ended")), "{sums}");
    assert!(!sums.contains("called off"), "{sums}");
    eprintln!("{}", sums.lines().last().unwrap_or_default());
    assert_share(100.0, AT_HAND, [began, both(&watcher).await?]);
    assert_last_by_canary(&watcher, orders as usize / 5).await?;
    Ok(watcher.stop().await?)
}

/// Asserts that the new version took the last of the payments, all of them.
async fn assert_last_by_canary(watcher: &Running, last: usize) -> Result<(), BoxError> {
    let client = watcher.client();
    let events = client.events("payments").await?;
    let mut taken = events.read(">", 1).await?.all().await?;
    taken.retain(|event| event.headers.get(CE_TYPE) == Some("payments.taken"));
    assert!(taken.len() > 2 * last, "{}", taken.len());
    for event in &taken[taken.len() - last..] {
        assert_eq!(event.headers.get(CE_SOURCE), Some("/shop/payments/canary"));
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_version_gets_a_tenth_then_half_then_all_and_no_order_fails() -> Result<(), BoxError>
{
    canary(400).await
}

/// The same with more orders; takes half a minute or more:
///
/// ```text
/// cargo test -p shop --test canary -- --ignored --nocapture
/// ```
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes half a minute or more"]
async fn a_new_version_gets_its_share_of_many_orders() -> Result<(), BoxError> {
    canary(1_500).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_groups_need_whom_they_say_and_nobody_else() -> Result<(), BoxError> {
    let server = Server::start();
    let _rest = start(
        &server,
        "--node one --groups users,inventory,notifications,orders",
    )?;
    let _two = start(&server, "--node two --groups products,payments")?;
    let watcher = watcher(&server).await?;
    until("the shop", async || {
        watcher.roster().statistics().healthy == 6
    })
    .await;
    let output = shop(&server).args(["demo", "--remote"]).output()?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complaint}");
    let graph = || Graph::of(watcher.roster().cards().iter().map(AsRef::as_ref));
    // A node says what it has seen of others with its next heartbeat.
    until_within(
        Duration::from_secs(30),
        "sight of all that is declared",
        async || {
            let unseen: Vec<_> = graph().unseen().cloned().collect();
            if unseen.is_empty() {
                Ok(())
            } else {
                Err(format!("{unseen:?}"))
            }
        },
    )
    .await;
    let drawn = graph();
    assert_eq!(
        drawn.undeclared().collect::<Vec<_>>(),
        Vec::<&callboard::mesh::Edge>::new()
    );
    let commands = drawn.edges.iter().filter(|edge| edge.commands);
    let commands: Vec<_> = commands.map(|edge| (&*edge.from, &*edge.to)).collect();
    let needed = ["inventory", "payments", "products", "users"];
    assert_eq!(commands, needed.map(|to| ("orders", to)));
    Ok(watcher.stop().await?)
}
