use crate::carriers::{Carrier, Guarantees, Opened};
use callboard::{
    bus::{
        Append, Bus, Consumer, ConsumerConfig, Delivery, Expect, Message, Stream, StreamConfig,
        Subscription,
    },
    message::{Headers, Namespace, headers},
};
use std::{
    any::Any,
    error::Error,
    process,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};
use tokio::time::{Instant, timeout};

/// How a case ends.
pub(crate) type Verdict = Result<(), Box<dyn Error>>;

/// How long something that must happen may take.
pub(crate) const SOON: Duration = Duration::from_secs(10);
/// How long it is watched that something does not happen.
pub(crate) const A_WHILE: Duration = Duration::from_millis(400);
/// The ack wait of consumers whose messages shall come again.
pub(crate) const ACK_WAIT: Duration = Duration::from_secs(1);

static SCOPES: AtomicU32 = AtomicU32::new(0);

/// What one case works on: a bus, and names that no other case uses.
#[derive(Debug)]
pub(crate) struct Scope {
    pub(crate) bus: Bus,
    pub(crate) guarantees: Guarantees,
    prefix: String,
    _keeps: Option<Box<dyn Any + Send>>,
}

impl Scope {
    pub(crate) async fn open(carrier: Carrier) -> Self {
        let Opened { bus, guarantees, keeps } = carrier.open().await;
        let number = SCOPES.fetch_add(1, Ordering::Relaxed);
        let prefix = format!("t{}-{number}", process::id());
        Self { bus, guarantees, prefix, _keeps: keeps }
    }

    /// Returns a subject or filter of this case.
    pub(crate) fn at(&self, rest: &str) -> String {
        format!("{}.{rest}", self.prefix)
    }

    /// Returns the first token of this case's subjects, as a namespace.
    pub(crate) fn namespace(&self) -> Namespace {
        Namespace::new(&self.prefix).expect("a case's prefix is sound")
    }

    /// Returns a stream or consumer name of this case.
    pub(crate) fn name(&self, rest: &str) -> String {
        format!("{}_{rest}", self.prefix)
    }

    pub(crate) fn config(&self, name: &str, filters: &[&str]) -> StreamConfig {
        let filters: Vec<_> = filters.iter().map(|filter| self.at(filter)).collect();
        let mut config = StreamConfig::new(self.name(name), filters);
        // A server need not write what no case starts again.
        config.memory = self.guarantees.remote;
        config
    }

    /// Opens a stream that keeps `orders.*`.
    pub(crate) async fn orders(&self) -> Result<Stream, Box<dyn Error>> {
        let config = self.config("ORDERS", &["orders.*"]);
        Ok(self.bus.stream(&config).await?)
    }

    /// Opens a stream that keeps `orders.*` in partitions.
    pub(crate) async fn partitioned(&self, partitions: u32) -> Result<Stream, Box<dyn Error>> {
        let mut config = self.config("ORDERS", &["orders.*"]);
        config.partitions = partitions;
        Ok(self.bus.stream(&config).await?)
    }

    /// Appends a message to `orders.{key}` and returns its sequence.
    pub(crate) async fn order(
        &self,
        stream: &Stream,
        key: &str,
        id: &str,
    ) -> Result<u64, Box<dyn Error>> {
        let message = message(self.at(&format!("orders.{key}")), id);
        match stream.append(message, Expect::Any).await? {
            Append::Committed { sequence, duplicate: false } => Ok(sequence),
            other => Err(format!("{key} {id}: {other:?}").into()),
        }
    }

    /// Opens a stream that keeps `orders.*` and holds this many messages of one key.
    pub(crate) async fn filled(&self, count: u64) -> Result<Stream, Box<dyn Error>> {
        let stream = self.orders().await?;
        for number in 1..=count {
            self.order(&stream, "o-1", &number.to_string()).await?;
        }
        Ok(stream)
    }
}

/// Describes a consumer whose messages come again soon.
pub(crate) fn brisk(name: &str) -> ConsumerConfig {
    let mut config = ConsumerConfig::new(name);
    config.ack_wait = ACK_WAIT;
    config
}

/// Builds a message whose id is also its payload.
pub(crate) fn message(subject: String, id: &str) -> Message {
    let mut named = Headers::new();
    let sound = named.insert(headers::MSG_ID, id);
    assert_eq!(sound, Ok(()));
    Message::new(subject, id.to_owned()).headers(named)
}

pub(crate) fn committed(sequence: u64) -> Append {
    Append::Committed { sequence, duplicate: false }
}

pub(crate) fn known(sequence: u64) -> Append {
    Append::Committed { sequence, duplicate: true }
}

/// Returns what a subscription gets next, and fails if that takes too long.
pub(crate) async fn heard(subscription: &mut Subscription) -> Result<Message, Box<dyn Error>> {
    let next = timeout(SOON, subscription.next()).await?;
    next.ok_or_else(|| "the subscription ended".into())
}

/// Returns a text that a subscription gets next.
pub(crate) async fn text(subscription: &mut Subscription) -> Result<String, Box<dyn Error>> {
    Ok(String::from_utf8(
        heard(subscription).await?.payload.into(),
    )?)
}

/// Returns what a consumer gets next, and fails if that takes too long.
pub(crate) async fn taken(consumer: &mut Consumer) -> Result<Delivery, Box<dyn Error>> {
    Ok(timeout(SOON, consumer.next()).await??)
}

/// Takes and acknowledges this many messages and returns their sequences.
pub(crate) async fn acked(
    consumer: &mut Consumer,
    count: usize,
) -> Result<Vec<u64>, Box<dyn Error>> {
    let mut sequences = Vec::new();
    while sequences.len() < count {
        let delivery = taken(consumer).await?;
        sequences.push(delivery.message.sequence);
        delivery.ack().await?;
    }
    Ok(sequences)
}

/// Fails if a consumer gets something within a time.
pub(crate) async fn nothing_for(consumer: &mut Consumer, within: Duration) -> Verdict {
    match timeout(within, consumer.next()).await {
        Err(_) => Ok(()),
        Ok(delivery) => Err(format!("unexpected: {delivery:?}").into()),
    }
}

/// Repeats a question until its answer is yes, and fails if that takes too long.
pub(crate) async fn until(mut done: impl AsyncFnMut() -> Result<bool, Box<dyn Error>>) -> Verdict {
    let start = Instant::now();
    while !done().await? {
        if start.elapsed() > SOON {
            return Err(format!("not so within {SOON:?}").into());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}
