//! The store of an embedded bus, looked at while no program has it open.

use crate::{
    shell::{Ran, at},
    support::folder::Folder,
};
use callboard::{
    bus::{Bus, Expect, Message, StreamConfig},
    error::BoxError,
    message::{Headers, headers},
};
use serde_json::Value;
use std::{fs, path::Path};

async fn store(act: &str, data: &Path, more: &[&str]) -> Ran {
    let data = data.to_string_lossy();
    let mut words = vec!["store", act, "--data", &*data];
    words.extend(more);
    at("nats://127.0.0.1:1", &words).await
}

async fn filled(folder: &Path) -> Result<Bus, BoxError> {
    let bus = Bus::embedded_at(folder)?;
    let stream = bus
        .stream(&StreamConfig::new("ORDERS", ["orders.*".to_owned()]))
        .await?;
    for number in 0..20 {
        let mut named = Headers::new();
        named.insert(headers::MSG_ID, number.to_string())?;
        let message = Message::new("orders.o-1", vec![b'x'; 5_000]).headers(named);
        stream.append(message, Expect::Any).await?;
    }
    Ok(bus)
}

#[tokio::test]
async fn a_sound_store_is_checked_measured_and_compacted() -> Result<(), BoxError> {
    let folder = Folder::fresh();
    drop(filled(folder.path()).await?);
    let said = store("check", folder.path(), &[]).await.done();
    assert_eq!(said, "sound, with 20 messages\n");
    let said = store("stats", folder.path(), &["--json"]).await.done();
    let stats: Value = serde_json::from_str(&said)?;
    assert_eq!(
        (&stats["stream"], &stats["messages"]),
        (&"ORDERS".into(), &20.into())
    );
    let said = store("stats", folder.path(), &[]).await.done();
    assert!(
        said.starts_with("STREAM") && said.contains("100 kB"),
        "{said}"
    );
    let said = store("compact", folder.path(), &[]).await.done();
    assert!(
        said.contains(" before, ") && said.ends_with(" now\n"),
        "{said}"
    );
    Ok(())
}

#[tokio::test]
async fn a_store_that_is_open_or_missing_is_left_alone() -> Result<(), BoxError> {
    let folder = Folder::fresh();
    let said = store("check", folder.path(), &[]).await.failed(2);
    assert!(said.contains("there is no store at"), "{said}");
    assert_eq!(fs::read_dir(folder.path())?.count(), 0, "nothing is made");
    let _bus = filled(folder.path()).await?;
    for act in ["check", "stats", "compact"] {
        let said = store(act, folder.path(), &[]).await.failed(4);
        let holder = format!("in use by process {}", std::process::id());
        assert!(said.contains(&holder), "{said}");
    }
    Ok(())
}

#[tokio::test]
async fn a_damaged_store_is_told_line_by_line() -> Result<(), BoxError> {
    let folder = Folder::fresh();
    drop(filled(folder.path()).await?);
    let file = folder.path().join("callboard.sqlite");
    let mut bytes = fs::read(&file)?;
    let payload = bytes.windows(64).rposition(|window| window == [b'x'; 64]);
    bytes[payload.ok_or("no payload")?] = b'y';
    fs::write(&file, bytes)?;
    let ran = store("check", folder.path(), &[]).await;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.out.contains("of stream 1 is damaged"), "{ran:?}");
    assert!(ran.err.contains("is damaged: 1 faults"), "{ran:?}");
    Ok(())
}
