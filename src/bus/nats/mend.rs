//! How a consumer's pull is built again, and the consumer too if it is gone.

use super::{
    api::{ApiError, Nothing},
    durable::{GROUP, Mismatch, unavailable},
    link::backoff,
    pull::{Plan, Pull, Trouble},
    streams::Stream,
};
use crate::bus::{ConsumerConfig, ConsumerError};
use async_nats::jetstream::{
    ErrorCode,
    consumer::{DeliverPolicy, Info, pull},
};
use futures_util::future::BoxFuture;
use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::time::{sleep, timeout};

/// How long the server may take to say how a consumer is, once.
pub(super) const LOOK_WITHIN: Duration = Duration::from_secs(1);

/// The sequence up to which all is acknowledged, as far as the server said.
#[derive(Debug)]
pub(super) struct Floor {
    sequence: AtomicU64,
    /// Whether the server is being asked.
    pub(super) asking: AtomicBool,
}

impl Floor {
    pub(super) const fn at(sequence: u64) -> Self {
        Self { sequence: AtomicU64::new(sequence), asking: AtomicBool::new(false) }
    }

    fn get(&self) -> u64 {
        self.sequence.load(Ordering::Relaxed)
    }

    pub(super) fn raise(&self, sequence: u64) {
        self.sequence.fetch_max(sequence, Ordering::Relaxed);
    }
}

/// What a consumer is and how it is read.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub(super) stream: Stream,
    pub(super) config: ConsumerConfig,
    pub(super) wanted: pull::Config,
    pub(super) plan: Plan,
    /// Up to where all was acknowledged, as far as is known.
    pub(super) floor: Arc<Floor>,
}

/// What a mending came to.
pub(super) struct Mended {
    /// How often it was tried since a message came.
    pub(super) failures: u32,
    /// The new pull; nothing if the one that is there will do.
    pub(super) pull: Result<Option<Pull>, ConsumerError>,
}

/// A pull that is being built again. Who gives a wait for it up goes on with it the next
/// time; begun anew each time, it would never end beside work that comes more often.
pub(super) struct Mending(Mutex<BoxFuture<'static, Mended>>);

impl Mending {
    /// Waits for it. Dropping the future loses nothing.
    pub(super) async fn ended(&mut self) -> Mended {
        let mending = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        mending.await
    }
}

impl fmt::Debug for Mending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mending")
    }
}

impl Source {
    /// Begins to build the pull again that ended in trouble.
    pub(super) fn mend(&self, trouble: Trouble, pin: Option<String>, mut failures: u32) -> Mending {
        let source = self.clone();
        Mending(Mutex::new(Box::pin(async move {
            let pull = source.pull_again(&trouble, pin.as_deref(), &mut failures);
            let pull = pull.await;
            Mended { failures, pull }
        })))
    }

    async fn pull_again(
        &self,
        trouble: &Trouble,
        pin: Option<&str>,
        failures: &mut u32,
    ) -> Result<Option<Pull>, ConsumerError> {
        if *trouble == Trouble::Closed {
            return Err(unavailable(&self.config, "the bus was closed".into()));
        }
        let (link, name) = (self.stream.link(), &self.config.name);
        loop {
            sleep(backoff(*failures)).await;
            *failures = failures.saturating_add(1);
            if !link.is_connected() {
                self.await_connection().await?;
            }
            let Some(info) = self.look_up().await? else {
                continue;
            };
            if *trouble == Trouble::Quiet && !is_stuck(&info, pin) {
                *failures = 0;
                return Ok(None);
            }
            if let Ok(pull) = Pull::new(link, self.stream.name(), name, self.plan).await {
                return Ok(Some(pull));
            }
        }
    }

    async fn await_connection(&self) -> Result<(), ConsumerError> {
        let link = self.stream.link();
        let mut connects = link.connects();
        while !link.is_connected() {
            if link.is_closed() {
                return Err(unavailable(&self.config, "the bus was closed".into()));
            }
            drop(timeout(Duration::from_secs(1), connects.changed()).await);
        }
        Ok(())
    }

    /// Returns the consumer's state; nothing if nobody can say now. A consumer
    /// that was deleted is made again from the last place known to be done.
    async fn look_up(&self) -> Result<Option<Info>, ConsumerError> {
        let (stream, name) = (self.stream.name(), &self.config.name);
        let subject = format!("CONSUMER.INFO.{stream}.{name}");
        let asking = self.stream.link().ask::<Info>(subject, &Nothing {});
        // While a leader is elected nobody answers: ask again rather than wait long.
        let Ok(asked) = timeout(LOOK_WITHIN, asking).await else {
            return Ok(None);
        };
        let info = match asked {
            Ok(info) => info,
            Err(ApiError::Refused(error)) if is_missing(error.error_code()) => {
                if let Some(reason) = self.stream.link().impairment() {
                    return Err(unavailable(&self.config, reason));
                }
                let deliver_policy = match self.floor.get() {
                    0 => DeliverPolicy::All,
                    floor => DeliverPolicy::ByStartSequence { start_sequence: floor + 1 },
                };
                let config = pull::Config { deliver_policy, ..self.wanted.clone() };
                match self.stream.take_up(&config).await {
                    Ok(info) => info,
                    Err(Mismatch::Api(ApiError::Away(_))) => return Ok(None),
                    Err(error) => return Err(self.stream.unusable(&self.config, error)),
                }
            }
            Err(ApiError::Refused(error)) if error.error_code() == ErrorCode::STREAM_NOT_FOUND => {
                return Err(ConsumerError::NoStream { stream: stream.into() });
            }
            Err(_) => return Ok(None),
        };
        self.floor.raise(info.ack_floor.stream_sequence);
        Ok(Some(info))
    }
}

/// Whether messages wait though some could be delivered here.
fn is_stuck(info: &Info, pin: Option<&str>) -> bool {
    let limit = usize::try_from(info.config.max_ack_pending).unwrap_or(usize::MAX);
    info.num_pending > 0 && info.num_ack_pending < limit && !info.paused && is_ours(info, pin)
}

/// Whether a handle with this pin is the one that is served, or none is.
pub(super) fn is_ours(info: &Info, pin: Option<&str>) -> bool {
    let group = info
        .priority_groups
        .iter()
        .find(|state| state.group == GROUP);
    let served = group.and_then(|state| state.pinned_client_id.as_deref());
    served.is_none_or(|served| served.is_empty() || Some(served) == pin)
}

fn is_missing(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::CONSUMER_NOT_FOUND | ErrorCode::CONSUMER_DOES_NOT_EXIST
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn info(pinned: &str, pending: u64, outstanding: usize) -> Info {
        let at = json!({ "consumer_seq": 0, "stream_seq": 0 });
        let info = json!({
            "stream_name": "S",
            "name": "c",
            "created": "2026-01-01T00:00:00Z",
            "config": {
                "deliver_policy": "all",
                "ack_policy": "explicit",
                "replay_policy": "instant",
                "max_ack_pending": 4,
                "num_replicas": 1,
            },
            "delivered": at,
            "ack_floor": at,
            "num_ack_pending": outstanding,
            "num_redelivered": 0,
            "num_waiting": 1,
            "num_pending": pending,
            "priority_groups": [{ "group": GROUP, "pinned_client_id": pinned }],
        });
        serde_json::from_value(info).unwrap()
    }

    #[test]
    fn a_handle_is_stuck_if_messages_wait_that_could_come_to_it() {
        assert!(is_stuck(&info("me", 1, 0), Some("me")));
        assert!(is_stuck(&info("", 1, 3), None), "nobody is served");
        assert!(!is_stuck(&info("me", 0, 0), Some("me")), "nothing waits");
        assert!(!is_stuck(&info("me", 1, 4), Some("me")), "it is full");
        assert!(!is_stuck(&info("other", 1, 0), Some("me")));
    }
}
