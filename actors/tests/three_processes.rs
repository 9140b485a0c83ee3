//! The shop in three processes on one server, one of which dies.

mod audit;
mod process;
#[path = "../../tests/support/mod.rs"]
mod support;

use audit::Audit;
use callboard::{
    Bus, Client,
    bus::{Message, Stored},
    error::BoxError,
    message::{
        codec,
        headers::{CE_ID, CE_TYPE},
    },
};
use process::{Process, until_said};
use schemas::{
    Cents, Line, OrderId,
    inventory::Stock,
    notifications::NotificationSent,
    orders::{Payment, PlaceOrder},
    products::AddProduct,
    users::Register,
};
use std::{
    collections::BTreeMap,
    process::{Command, Stdio},
    time::Duration,
};
use support::nats::Server;
use tokio::time::{sleep, timeout};

/// Starts a node of the shop.
fn start(server: &Server, node: &str, groups: &str) -> std::io::Result<Process> {
    let process = shop(server)
        .args(["--node", node, "--groups", groups])
        .stdout(Stdio::null())
        .spawn()?;
    Ok(Process(process))
}

fn shop(server: &Server) -> Command {
    let mut shop = Command::new(env!("CARGO_BIN_EXE_shop"));
    shop.args(["--nats", &server.url()]).env("RUST_LOG", "warn");
    shop
}

/// Waits until somebody answers for all six groups.
async fn until_ready(client: &Client) -> Result<(), BoxError> {
    let answered = async {
        for domain in [
            "users",
            "products",
            "orders",
            "notifications",
            "inventory",
            "payments",
        ] {
            let subject = format!("{}.cmd.{domain}.nothing", client.namespace());
            let ask = || Message::new(subject.as_str(), "");
            let patience = Duration::from_secs(1);
            while client.bus().request(ask(), patience).await.is_err() {
                sleep(Duration::from_millis(20)).await;
            }
        }
    };
    Ok(timeout(Duration::from_mins(1), answered).await?)
}

/// Returns a domain's events of some types.
async fn events(
    client: &Client,
    domain: &'static str,
    kinds: &[&str],
) -> Result<Vec<Stored>, BoxError> {
    let mut events = client
        .events(domain)
        .await?
        .read(">", 1)
        .await?
        .all()
        .await?;
    events.retain(|event| {
        let kind = event.headers.get(CE_TYPE);
        kind.is_some_and(|kind| kinds.contains(&kind))
    });
    Ok(events)
}

/// Counts the notifications of every order's end, by the id of the event.
async fn told(client: &Client) -> Result<BTreeMap<String, usize>, BoxError> {
    let mut told = BTreeMap::new();
    for end in events(client, "orders", &["orders.confirmed", "orders.cancelled"]).await? {
        let id = end.headers.get(CE_ID).ok_or("an event has an id")?;
        told.insert(id.to_owned(), 0);
    }
    for sent in events(client, "notifications", &["notifications.sent"]).await? {
        let sent: NotificationSent = codec::decode(&sent.payload)?;
        *told.entry(sent.about.to_string()).or_default() += 1;
    }
    Ok(told)
}

/// Runs the demo as a client, and checks what it shows.
fn assert_demo_works(server: &Server) -> std::io::Result<()> {
    let output = shop(server).args(["demo", "--remote"]).output()?;
    let shown = String::from_utf8_lossy(&output.stdout);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complaint}\n{shown}");
    assert!(!complaint.contains("broke the NATS client"), "{complaint}");
    for (word, count) in [
        ("  confirmed", 3),
        ("  cancelled  payment declined", 1),
        ("  cancelled  out of stock", 1),
    ] {
        let lines = shown
            .lines()
            .filter(|line| line.contains(word) && line.starts_with("  demo-"));
        assert_eq!(lines.count(), count, "{word}:\n{shown}");
    }
    Ok(())
}

#[tokio::test]
async fn every_ended_order_is_told_once_also_when_the_teller_was_killed() -> Result<(), BoxError> {
    let server = Server::start();
    let _users = start(&server, "shop-1", "users,products")?;
    let mut orders = start(&server, "shop-2", "orders,notifications")?;
    let _stock = start(&server, "shop-3", "inventory,payments")?;
    let client = Client::new(Bus::nats(server.url()).await?, "shop".parse()?);
    until_ready(&client).await?;

    assert_demo_works(&server)?;
    let before = told(&client).await?;
    assert_eq!(before.len(), 5);

    orders.kill()?;
    let _orders = start(&server, "shop-4", "orders,notifications")?;
    until_ready(&client).await?;
    // What the killed node had not acknowledged is heard again before this ends.
    assert_demo_works(&server)?;

    let after = told(&client).await?;
    assert_eq!(after.len(), 10);
    assert!(before.keys().all(|id| after.contains_key(id)));
    assert!(after.values().all(|&count| count == 1), "{after:?}");
    Ok(())
}

#[tokio::test]
async fn orders_under_way_end_once_although_their_runner_was_killed() -> Result<(), BoxError> {
    let server = Server::start();
    let _others = start(&server, "shop-1", "users,products,inventory,payments")?;
    let mut orders = start(&server, "shop-2", "orders,notifications")?;
    let client = Client::new(Bus::nats(server.url()).await?, "shop".parse()?);
    until_ready(&client).await?;
    client
        .call(Register { name: "Ada".into(), email: "ada@example.com".into() })
        .await?;
    client
        .call(AddProduct { product: "tea".into(), name: "Tea".into(), price: Cents(250) })
        .await?;
    client
        .call(Stock { product: "tea".into(), quantity: 60 })
        .await?;
    for number in 0..40 {
        let lines = vec![Line::new("tea", 2)];
        let order = OrderId::new(format!("o-{number}"));
        client
            .call(PlaceOrder { order, user: "ada".into(), lines, pay: Payment::Card })
            .await?;
    }
    orders.kill()?;

    let _orders = start(&server, "shop-3", "orders,notifications")?;
    let all_told = async {
        loop {
            let told = told(&client).await?;
            if told.len() == 40 && told.values().all(|&count| count > 0) {
                return Ok::<_, BoxError>(told);
            }
            sleep(Duration::from_millis(100)).await;
        }
    };
    // What the killed node held comes again after its ack wait of 30 s.
    let told = timeout(Duration::from_mins(2), all_told).await??;
    assert!(told.values().all(|&count| count == 1), "{told:?}");
    let confirmed = events(&client, "orders", &["orders.confirmed"]).await?;
    assert_eq!(confirmed.len(), 30);
    Ok(())
}

#[tokio::test]
async fn a_rush_ends_although_each_of_its_nodes_was_killed() -> Result<(), BoxError> {
    let server = Server::start();
    let _users = start(&server, "shop-1", "users,products")?;
    let mut orders = start(&server, "shop-2", "orders,notifications")?;
    let mut stock = start(&server, "shop-3", "inventory,payments")?;
    let client = Client::new(Bus::nats(server.url()).await?, "shop".parse()?);
    until_ready(&client).await?;

    let mut rush = shop(&server)
        .args(["demo", "--remote", "--orders", "300"])
        .stdout(Stdio::piped())
        .spawn()?;
    let mut out = rush.stdout.take().ok_or("no output")?;
    let mut rush = Process(rush);
    until_said(&mut out, " 10 %")?;
    stock.kill()?;
    let _stock = start(&server, "shop-4", "inventory,payments")?;
    until_said(&mut out, " 40 %")?;
    orders.kill()?;
    let _orders = start(&server, "shop-5", "orders,notifications")?;
    let sums = until_said(&mut out, "out of stock")?;
    assert!(rush.0.wait()?.success(), "{sums}");

    let quiet = async {
        loop {
            let audit = Audit::of(&client).await?;
            if audit.open().is_none() {
                return Ok::<_, BoxError>(audit);
            }
            sleep(Duration::from_millis(200)).await;
        }
    };
    let audit = timeout(Duration::from_mins(2), quiet).await??;
    audit.assert_sound();
    assert_eq!(audit.placed.len(), 300);
    Ok(())
}
