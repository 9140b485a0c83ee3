//! How an actor hears events: one reader per domain and partition.

mod beside;
mod drain;
mod ending;
mod handled;
mod held;
mod letters;
mod parking;
mod reading;
mod redriven;
mod register;
mod stranger;
mod takeover;
mod turns;

use super::{Begins, Inbox, Retry, failover::ACK_WAIT, repeated::Repeated};
use crate::{
    bus::{Consumer, ConsumerConfig, Start, Stream},
    call::Client,
    message::Subject,
};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};

/// How many events of one partition are held at once.
const HELD: usize = 256;

/// How long a held event may go without one.
const RENEW: Duration = Duration::from_secs(10);

/// How long to wait before something that must succeed is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// How many keys of one partition are parked at most; beyond that, what cannot
/// go on keeps its place and is tried again.
const PARKED: usize = 10_000;

/// How long to wait before a key that finds no room to be parked is tried again.
const PARK_AGAIN: Duration = Duration::from_secs(30);

/// How often the records of parked keys are read, should a poke be lost.
const LOOK_UP: Duration = Duration::from_secs(30);

/// For how long a partition is left to a newer program.
const STAND_BY: Duration = Duration::from_secs(30);

/// How many keys that were parked are handled side by side.
const DRAINS: usize = 8;

/// How one actor hears the events of one domain, in one partition.
///
/// Events are handled in order per key and side by side across keys. A failing
/// event is tried again here, while its key waits and its ack wait is renewed;
/// when its attempts are used up its key is parked: that is written down, the
/// event is acknowledged, and so is what comes behind it. When the operator
/// says how to go on, all of it is read from the stream and handled in order.
/// What is held when the node stops is handed back.
///
/// Whatever needs another stream than the consumer is done beside the loop:
/// dead letters, records of parked keys, looks at them. The keys concerned
/// wait for it, the others do not.
#[derive(Debug)]
pub(crate) struct Reaction {
    pub(crate) client: Client,
    /// The actor's path in the tree.
    pub(crate) path: Arc<str>,
    pub(crate) domain: &'static str,
    pub(crate) partition: u32,
    /// The types it hears, and their places in the actor's table.
    pub(crate) hears: Arc<[(Subject, usize)]>,
    pub(crate) inboxes: Arc<[Inbox]>,
    pub(crate) retry: Retry,
    /// Where it begins if it is new.
    pub(crate) begins: Begins,
}
impl Reaction {
    /// Reads until told to stop, and starts over when the bus fails.
    pub(crate) async fn run(self, mut stop: watch::Receiver<bool>) {
        let mut repeated = Repeated::default();
        while !*stop.borrow() {
            if self.is_away() {
                tokio::select! {
                    () = sleep(AGAIN) => {}
                    _ = stop.changed() => {}
                }
                continue;
            }
            let Err(error) = self.read(&mut stop).await else {
                return;
            };
            let wait = self.tell(&error, &mut repeated);
            tokio::select! {
                () = sleep(wait) => {}
                _ = stop.changed() => {}
            }
        }
    }

    /// Tells why it does not read on; returns when it does again.
    fn tell(&self, broken: &Broken, repeated: &mut Repeated) -> Duration {
        let (child, domain) = (&*self.path, self.domain);
        match broken {
            Broken::Failed(error) => {
                if repeated.is_due(error, Instant::now()) {
                    tracing::warn!(child, domain, error, "reading events failed, trying again");
                }
                AGAIN
            }
            Broken::Known(reason) => {
                let partition = self.partition;
                tracing::info!(
                    child,
                    domain,
                    partition,
                    reason,
                    "a partition is left to another node"
                );
                STAND_BY
            }
        }
    }

    /// Returns the place of an event type's handler, if it is heard.
    fn route(&self, kind: &str) -> Option<usize> {
        let mut known = self.hears.iter();
        let found = known.find(|(subject, _)| subject.as_str() == kind);
        found.map(|(_, route)| *route)
    }

    /// Whether its actor was removed; then another node may have one.
    fn is_away(&self) -> bool {
        self.inboxes.iter().all(Inbox::is_closed)
    }

    async fn open(&self) -> Result<(Stream, Consumer), String> {
        let stream = self
            .client
            .events(self.domain)
            .await
            .map_err(|error| error.to_string())?;
        let config = reads(&self.path, self.partition, self.begins);
        let consumer = stream
            .consumer(&config)
            .await
            .map_err(|error| error.to_string())?;
        Ok((stream, consumer))
    }
}

/// Why a reader does not read on.
#[derive(Debug)]
enum Broken {
    /// Something failed.
    Failed(String),
    /// A newer program knows what this one does not.
    Known(String),
}

impl From<String> for Broken {
    fn from(reason: String) -> Self {
        Self::Failed(reason)
    }
}

/// Describes how an actor's reaction reads a partition, by the actor's path.
pub(crate) fn reads(path: &str, partition: u32, begins: Begins) -> ConsumerConfig {
    let mut config = ConsumerConfig::new(format!("{}_{partition}", path.replace('/', "_")));
    config.partition = Some(partition);
    config.ack_wait = ACK_WAIT;
    config.max_ack_pending = HELD;
    config.pinned = true;
    config.start = match begins {
        Begins::AtTheOldest => Start::First,
        Begins::Now => Start::New,
    };
    config
}
