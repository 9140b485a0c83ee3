//! The shop on a directory, in processes that are killed in the middle of it.

mod audit;
#[path = "../../tests/support/mod.rs"]
mod support;

use audit::Audit;
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

#[tokio::test]
async fn orders_of_killed_processes_end_as_if_nothing_had_happened() -> Result<(), BoxError> {
    let folder = Folder::fresh();
    kill_at(demo(folder.path(), 300)?, " 20 %")?;
    kill_at(demo(folder.path(), 300)?, " 50 %")?;
    let last = demo(folder.path(), 50)?.wait_with_output()?;
    let said = String::from_utf8_lossy(&last.stdout);
    assert!(last.status.success(), "{said}");
    assert!(said.contains("50 orders ended in"), "{said}");

    let bus = Bus::embedded_at(folder.path().join("bus"))?;
    let groups = Name::ALL.map(|name| name.group(&Settings::limit(payments::LIMIT)));
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
    assert!(
        audit.placed.len() >= 50 + 60 + 150,
        "{}",
        audit.placed.len()
    );
    for product in ["tea", "teapot", "piano"] {
        let level = client.call(GetStock { product: product.into() }).await?;
        let count = audit.stock.count(product);
        assert_eq!(
            (u64::from(level.available), level.reserved),
            (count.available, 0)
        );
    }
    node.stop().await?;
    Ok(())
}
