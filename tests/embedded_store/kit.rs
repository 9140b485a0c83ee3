use callboard::{
    bus::{
        Append, AppendError, Bus, Consumer, ConsumerConfig, Delivery, Expect, Message, Stream,
        StreamConfig,
    },
    message::{Headers, headers},
};
use std::{error::Error, future::Future, path::Path, time::Duration};
use tokio::{runtime::Builder, time::timeout};

/// How a test ends.
pub(crate) type Verdict = Result<(), Box<dyn Error>>;

/// How long something that must happen may take.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// Runs a test on a runtime of its own, for a minute at most.
pub(crate) fn run(test: impl Future<Output = Verdict>) -> Verdict {
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(async { timeout(Duration::from_mins(1), test).await? })
}

/// Opens the store in a directory, and its stream of orders.
pub(crate) async fn opened(path: &Path) -> Result<(Bus, Stream), Box<dyn Error>> {
    let bus = Bus::embedded_at(path)?;
    let stream = bus.stream(&config()).await?;
    Ok((bus, stream))
}

pub(crate) fn config() -> StreamConfig {
    let mut config = StreamConfig::new("ORDERS", ["orders.*".to_owned()]);
    config.partitions = 8;
    config
}

/// Builds a message whose id is also its payload.
pub(crate) fn order(key: &str, id: &str) -> Message {
    let mut named = Headers::new();
    for (name, value) in [
        (headers::CE_TYPE, "orders.placed"),
        (headers::MSG_ID, id),
        ("x", "y"),
    ] {
        assert_eq!(named.insert(name, value), Ok(()));
    }
    Message::new(format!("orders.{key}"), id.to_owned()).headers(named)
}

pub(crate) async fn append(stream: &Stream, key: &str, id: &str) -> Result<Append, AppendError> {
    stream.append(order(key, id), Expect::Any).await
}

/// Appends messages of one key, with the ids from 1.
pub(crate) async fn fill(stream: &Stream, key: &str, count: u64) -> Verdict {
    for number in 1..=count {
        append(stream, key, &number.to_string()).await?;
    }
    Ok(())
}

/// Returns all payloads that match a filter, as text.
pub(crate) async fn payloads(stream: &Stream, filter: &str) -> Result<Vec<String>, Box<dyn Error>> {
    let all = stream.read(filter, 1).await?.all().await?;
    let texts = all
        .into_iter()
        .map(|stored| String::from_utf8(stored.payload.into()));
    Ok(texts.collect::<Result<_, _>>()?)
}

pub(crate) async fn consumer(stream: &Stream) -> Result<Consumer, Box<dyn Error>> {
    Ok(stream.consumer(&ConsumerConfig::new("c")).await?)
}

/// Returns what a consumer gets next, and fails if that takes too long.
pub(crate) async fn taken(consumer: &mut Consumer) -> Result<Delivery, Box<dyn Error>> {
    Ok(timeout(SOON, consumer.next()).await??)
}

pub(crate) fn committed(sequence: u64) -> Append {
    Append::Committed { sequence, duplicate: false }
}

pub(crate) fn known(sequence: u64) -> Append {
    Append::Committed { sequence, duplicate: true }
}
