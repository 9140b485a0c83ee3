//! A stream that lost its end is not mistaken for the one that was.

use crate::{
    library::{Gate, Lent, Overdue, Overview, Tell, shelf},
    support::{
        folder::Folder,
        nats::Server,
        way::{Verdict, until},
    },
};
use callboard::{
    Bus, Client, Node,
    bus::{Expect, Message, Stream, StreamConfig},
    message::Namespace,
};
use std::{error::Error, fs, io, path::Path};

async fn snapshots(bus: &Bus) -> Result<Stream, Box<dyn Error>> {
    let config = StreamConfig::snapshots(&Namespace::default());
    Ok(bus.stream(&config).await?)
}

#[tokio::test]
async fn a_checkpoint_of_events_that_were_lost_is_ignored() -> Verdict {
    let (before, after) = (Bus::embedded(), Bus::embedded());
    let [old, new] = [&before, &after].map(|bus| Client::new(bus.clone(), Namespace::default()));
    for n in 0..10 {
        old.publish(Lent::of(&format!("b{n}"), "ada")).await?;
        new.publish(Overdue { book: format!("b{n}") }).await?;
    }
    let gate = Gate::default();
    let describe = || shelf(&gate).checkpoint_every(5).into_group();
    let node = Node::new("one", before.clone())
        .group(describe())
        .start()
        .await?;
    assert_eq!(old.call(Tell).await?.lent, 10);
    node.stop().await?;
    let (from, to) = (snapshots(&before).await?, snapshots(&after).await?);
    for stored in from.read(">", 1).await?.all().await? {
        let kept = Message::new(stored.subject, stored.payload).headers(stored.headers);
        to.append(kept, Expect::Any).await?;
    }
    let node = Node::new("two", after).group(describe()).start().await?;
    let expected = Overview { overdue: 10, ..Overview::default() };
    assert_eq!(new.call(Tell).await?, expected);
    Ok(node.stop().await?)
}

#[tokio::test]
async fn a_running_model_is_built_anew_when_its_stream_lost_its_end() -> Verdict {
    let (kept, store) = (Folder::fresh(), Folder::fresh());
    let config = format!(r#"jetstream {{ store_dir: "{}" }}"#, store.path().display());
    let mut server = Server::with(&config);
    let bus = Bus::nats(server.url()).await?;
    let node = Node::new("n", bus.clone())
        .group(shelf(&Gate::default()).into_group())
        .start()
        .await?;
    let client = node.client();
    let lend = async |book: &str| {
        until("the server is there", async || {
            client.publish(Lent::of(book, "ada")).await.is_ok()
        })
        .await;
    };
    let shows = async |lent| {
        until(&format!("{lent} in the model"), async || {
            client.call(Tell).await.is_ok_and(|told| told.lent == lent)
        })
        .await;
    };
    lend("b1").await;
    shows(1).await;
    server.kill();
    copy(store.path(), kept.path())?;
    server.restart();
    for book in ["b2", "b3", "b4"] {
        lend(book).await;
    }
    until("all in the model", async || {
        client.call(Tell).await.is_ok_and(|told| told.lent >= 4)
    })
    .await;
    server.kill();
    fs::remove_dir_all(store.path())?;
    copy(kept.path(), store.path())?;
    server.restart();
    lend("b5").await;
    shows(2).await;
    Ok(node.stop().await?)
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &to)?;
        } else {
            fs::copy(entry.path(), to)?;
        }
    }
    Ok(())
}
