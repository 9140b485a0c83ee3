//! Appends to a stream of the embedded store, synced before they return or
//! once a second, against appending as many bytes to a plain file.
//!
//! Quantity: events stored per second, 1, 64 and 1,000 in flight; the file gets
//! them in groups of as many.

mod support;

use callboard::{
    Bus,
    bus::{Append, Durability, Expect, Message, Store, Stream, StreamConfig},
    message::{Headers, Id, headers},
};
use std::{fs::File, io::Write, time::Duration};
use support::{
    Outcome, Task,
    order::{Order, encode},
    round::{Round, compare},
    servers::folder::Folder,
};
use tokio::time::Instant;

const SLICE: Duration = Duration::from_millis(600);

fn main() -> Outcome {
    match support::task() {
        Task::Measure => support::runtime().block_on(measure()),
        _ => Ok(()),
    }
}

async fn measure() -> Outcome {
    let modes = [
        ("always", Durability::Always),
        ("interval", Durability::EVERY_SECOND),
    ];
    for (name, durability) in modes {
        for window in [1, 64, 1_000] {
            let folder = Folder::fresh();
            let bus = Bus::embedded_at(Store::at(folder.path()).durability(durability))?;
            let stream = bus
                .stream(&StreamConfig::events(&"bench".parse()?, "bench"))
                .await?;
            let plain = Folder::fresh();
            let mut file = File::create(plain.path().join("log"))?;
            let sync = durability == Durability::Always;
            compare(
                &format!("store/{name}/{window}"),
                async || fly(&stream, window).await,
                async || write(&mut file, window, sync).expect("the disk takes it"),
            )
            .await;
        }
    }
    Ok(())
}

// ===== ours =====

async fn fly(stream: &Stream, window: u64) -> Round {
    let started = Instant::now();
    let lines = (0..window).map(async |line| {
        let (mut count, mut number) = (0, line);
        while started.elapsed() < SLICE {
            let appended = stream.append(message(number), Expect::Any).await;
            assert!(
                matches!(appended, Ok(Append::Committed { .. })),
                "{appended:?}"
            );
            number += window;
            count += 1;
        }
        count
    });
    let counts = futures_util::future::join_all(lines).await;
    Round::of(counts.iter().sum(), started.elapsed())
}

/// Builds an event as it is published, with its five headers and its id.
fn message(number: u64) -> Message {
    let order = Order::new(number);
    let id = Id::new().to_string();
    let mut said = Headers::with_capacity(6);
    let all = [
        (headers::CE_SPECVERSION, "1.0"),
        (headers::CE_ID, &id),
        (headers::CE_TYPE, "bench.ordered"),
        (headers::CE_SOURCE, "/bench/client/client"),
        (headers::CONTENT_TYPE, "application/msgpack"),
        (headers::MSG_ID, &id),
    ];
    for (name, value) in all {
        said.insert(name, value).expect("it is one line");
    }
    let subject = format!("bench.evt.bench.{}", order.key);
    Message::new(subject, encode(&order)).headers(said)
}

// ===== raw =====

/// Writes groups of the same messages, their parts one behind the other.
fn write(file: &mut File, window: u64, sync: bool) -> std::io::Result<Round> {
    let (started, mut count) = (Instant::now(), 0);
    let mut group = Vec::new();
    while started.elapsed() < SLICE {
        group.clear();
        for number in count..count + window {
            let message = message(number);
            group.extend_from_slice(message.subject.as_bytes());
            for (name, value) in message.headers.iter() {
                group.extend_from_slice(name.as_bytes());
                group.extend_from_slice(value.as_bytes());
            }
            group.extend_from_slice(&message.payload);
        }
        file.write_all(&group)?;
        if sync {
            file.sync_data()?;
        }
        count += window;
    }
    Ok(Round::of(count, started.elapsed()))
}
