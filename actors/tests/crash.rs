//! The shop on a directory, in processes that are killed in the middle of it.

mod audit;
#[path = "../../tests/support/mod.rs"]
mod support;

use audit::{Audit, models::assert_models_are_a_fold};
use callboard::{Bus, Node, error::BoxError};
use schemas::inventory::GetStock;
use shop::{
    groups::{Name, Settings},
    payments,
};
use std::{
    io::{self, Read},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};
use support::folder::Folder;
use tokio::time::{sleep, timeout};

fn demo(data: &Path, orders: u32) -> io::Result<Child> {
    Command::new(env!("CARGO_BIN_EXE_shop"))
        .args(["demo", "--orders", &orders.to_string(), "--data"])
        .arg(data)
        .env_remove("CALLBOARD_NATS")
        .stdout(Stdio::piped())
        .spawn()
}

/// Lets a rush go on until its line says so much, then kills its process.
fn kill_at(mut demo: Child, word: &str) -> Result<(), BoxError> {
    let mut out = demo.stdout.take().ok_or("no output")?;
    let (mut said, mut byte) = (Vec::new(), [0]);
    while !said.ends_with(word.as_bytes()) {
        if out.read(&mut byte)? == 0 {
            let said = String::from_utf8_lossy(&said);
            return Err(format!("it ended before it was killed: {said}").into());
        }
        said.extend(byte);
    }
    demo.kill()?;
    demo.wait()?;
    Ok(())
}

/// Lets rushes begin that are killed when so much of them has ended, and one
/// that may end; checks what the directory tells then.
async fn trade(killed: &[(u32, &str)], last: u32, placed: usize) -> Result<(), BoxError> {
    let folder = Folder::fresh();
    for (orders, word) in killed {
        kill_at(demo(folder.path(), *orders)?, word)?;
    }
    let ended = demo(folder.path(), last)?.wait_with_output()?;
    let said = String::from_utf8_lossy(&ended.stdout);
    assert!(ended.status.success(), "{said}");
    assert!(said.contains(&format!("{last} orders ended in")), "{said}");

    let bus = Bus::embedded_at(folder.path().join("bus"))?;
    let limit = Settings::limit(payments::LIMIT);
    let settings = Settings { data: Some(folder.path().to_owned()), ..limit };
    let groups = Name::ALL.map(|name| name.group(&settings));
    let node = Node::new("shop-9", bus).namespace("shop");
    let node = groups.into_iter().fold(node, Node::group).start().await?;
    let client = node.client();
    let quiet = async {
        loop {
            let audit = Audit::of(&client).await?;
            if audit.open().is_none() {
                return Ok::<_, BoxError>(audit);
            }
            sleep(Duration::from_millis(50)).await;
        }
    };
    let audit = timeout(Duration::from_mins(2), quiet).await??;
    audit.assert_sound();
    assert!(audit.placed.len() >= placed, "{}", audit.placed.len());
    for product in ["tea", "teapot", "piano"] {
        let level = client.call(GetStock { product: product.into() }).await?;
        let count = audit.stock.count(product);
        assert_eq!(
            (u64::from(level.available), level.reserved),
            (count.available, 0)
        );
    }
    assert_models_are_a_fold(&client, &audit).await?;
    eprintln!("killed {} times: {}", killed.len(), audit.told());
    node.stop().await?;
    Ok(())
}

#[tokio::test]
async fn orders_of_killed_processes_end_as_if_nothing_had_happened() -> Result<(), BoxError> {
    trade(&[(300, " 20 %"), (300, " 50 %")], 50, 50 + 60 + 150).await
}

#[tokio::test]
#[ignore = "more than 5,000 orders take a minute"]
async fn five_thousand_orders_end_as_if_nobody_had_died() -> Result<(), BoxError> {
    let tenths = [" 10 %", " 30 %", " 50 %", " 70 %", " 90 %"];
    trade(&tenths.map(|word| (1_600, word)), 1_000, 5_000).await
}
