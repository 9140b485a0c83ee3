use super::{
    ack::Acker,
    api::{ApiError, Nothing},
    durable::{GROUP, Mismatch, progress, unavailable},
    link::{Link, backoff},
    place::Place,
    pull::{Plan, Pull, Trouble},
    release::{AFTER_US, again},
    streams::Stream,
};
use crate::{
    bus::{ConsumerConfig, ConsumerError, Delivery, Progress, consumer},
    telemetry,
};
use async_nats::{
    Subject,
    jetstream::{
        ErrorCode,
        consumer::{DeliverPolicy, Info, pull},
    },
};
use metrics::counter;
use std::{
    mem,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    runtime::Handle,
    time::{sleep, timeout},
};

/// How long after a delivery it is asked what is acknowledged: more than that does
/// not come again when a consumer is deleted.
const FLOOR_INTERVAL: Duration = Duration::from_secs(2);
/// How long the server may take to say how a consumer is, once.
const LOOK_WITHIN: Duration = Duration::from_secs(1);

/// A handle to a durable consumer; it mends itself.
#[derive(Debug)]
pub(in crate::bus) struct Consumer {
    stream: Stream,
    config: ConsumerConfig,
    wanted: pull::Config,
    plan: Plan,
    pull: Pull,
    /// Up to where all was acknowledged, as far as is known.
    floor: Arc<Floor>,
    trouble: Option<Trouble>,
    failures: u32,
    /// Where the last message returned is acknowledged.
    last: Option<Subject>,
    /// The place among the deliveries of what came here last, and as whom.
    turn: (u64, Option<String>),
    /// Whether another handle may have all that came here.
    pub(super) stale: bool,
}

/// The sequence up to which all is acknowledged, as far as the server said.
#[derive(Debug)]
struct Floor {
    sequence: AtomicU64,
    /// Whether the server is being asked.
    asking: AtomicBool,
}

impl Floor {
    const fn at(sequence: u64) -> Self {
        Self { sequence: AtomicU64::new(sequence), asking: AtomicBool::new(false) }
    }

    fn get(&self) -> u64 {
        self.sequence.load(Ordering::Relaxed)
    }

    fn raise(&self, sequence: u64) {
        self.sequence.fetch_max(sequence, Ordering::Relaxed);
    }
}

impl Consumer {
    pub(super) fn new(
        stream: &Stream,
        config: &ConsumerConfig,
        wanted: pull::Config,
        (plan, pull): (Plan, Pull),
        info: &Info,
    ) -> Self {
        let (stream, config) = (stream.clone(), config.clone());
        let floor = Arc::new(Floor::at(info.ack_floor.stream_sequence));
        Self {
            stream,
            config,
            wanted,
            plan,
            pull,
            floor,
            trouble: None,
            failures: 0,
            last: None,
            turn: (u64::MAX - 1, None),
            stale: false,
        }
    }

    /// Returns the connection over which its messages come, and go words on them.
    pub(super) const fn link(&self) -> &Link {
        self.pull.link()
    }

    pub(super) const fn last(&self) -> Option<&Subject> {
        self.last.as_ref()
    }

    pub(super) const fn pull(&mut self) -> &mut Pull {
        &mut self.pull
    }

    /// Returns where the server is asked to let another handle be the pinned one.
    pub(super) fn unpin_subject(&self) -> String {
        let (stream, name) = (self.stream.name(), &self.config.name);
        format!("$JS.API.CONSUMER.UNPIN.{stream}.{name}")
    }

    pub(in crate::bus) async fn next(&mut self) -> Result<Delivery, ConsumerError> {
        loop {
            if let Some(trouble) = self.trouble.clone() {
                self.mend(&trouble).await?;
                self.trouble = None;
            }
            match self.pull.next().await {
                Ok(message) => {
                    self.failures = 0;
                    if let Some(delivery) = self.delivery(message) {
                        return Ok(delivery);
                    }
                }
                Err(trouble) => self.trouble = Some(trouble),
            }
        }
    }

    fn delivery(&mut self, mut message: async_nats::Message) -> Option<Delivery> {
        let place = Place::of(&message)?;
        let reply = message.reply.take()?;
        self.last = Some(reply.clone());
        self.refresh_floor();
        let acker = Acker::new(self.link().clone(), reply);
        let stored = self.stream.delivered(message, place);
        let acker = consumer::Acker::Nats(acker);
        let resumed = self.resumes(place.turn);
        let delivery = Delivery::new(stored, place.attempt, place.pending, acker);
        Some(delivery.at(place.turn, resumed))
    }

    /// Asks soon after a delivery, beside the reading, what is acknowledged: a
    /// consumer that is deleted begins there again.
    fn refresh_floor(&self) {
        if self.floor.asking.swap(true, Ordering::Relaxed) {
            return;
        }
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        let (link, floor) = (self.stream.link().clone(), Arc::downgrade(&self.floor));
        let subject = format!("CONSUMER.INFO.{}.{}", self.stream.name(), self.config.name);
        drop(runtime.spawn(async move {
            sleep(FLOOR_INTERVAL).await;
            let info = link.ask::<Info>(subject, &Nothing {}).await;
            if let Some(floor) = floor.upgrade() {
                floor.asking.store(false, Ordering::Relaxed);
                if let Ok(info) = info {
                    floor.raise(info.ack_floor.stream_sequence);
                }
            }
        }));
    }

    /// Whether others may have been served since what came here last.
    fn resumes(&mut self, turn: u64) -> bool {
        let (last, pin) = &mut self.turn;
        let resumed = turn != *last + 1 || pin.as_deref() != self.pull.pin();
        if resumed {
            *pin = self.pull.pin().map(str::to_owned);
        }
        *last = turn;
        resumed
    }

    pub(in crate::bus) fn progress(
        &self,
    ) -> impl Future<Output = Result<Progress, ConsumerError>> + Send + use<> {
        let (stream, config) = (self.stream.clone(), self.config.clone());
        let pin = self.pull.pin().map(str::to_owned);
        let floor = Arc::clone(&self.floor);
        // It is asked where messages come: another connection may be back later.
        let link = self.link().clone();
        async move {
            let subject = format!("CONSUMER.INFO.{}.{}", stream.name(), config.name);
            let asking = link.ask::<Info>(subject, &Nothing {});
            let info = match timeout(LOOK_WITHIN * 2, asking).await {
                Ok(Ok(info)) => info,
                Ok(Err(error)) => return Err(unavailable(&config, error.to_string())),
                Err(_) => return Err(unavailable(&config, "no answer".into())),
            };
            floor.raise(info.ack_floor.stream_sequence);
            Ok(progress(&info, is_ours(&info, pin.as_deref())))
        }
    }

    /// Builds the pull again, and the consumer too if it is gone.
    async fn mend(&mut self, trouble: &Trouble) -> Result<(), ConsumerError> {
        if *trouble == Trouble::Closed {
            return Err(unavailable(&self.config, "the bus was closed".into()));
        }
        loop {
            sleep(backoff(self.failures)).await;
            self.failures = self.failures.saturating_add(1);
            if !self.stream.link().is_connected() {
                self.await_connection().await?;
            }
            let Some(info) = self.look_up().await? else {
                continue;
            };
            if *trouble == Trouble::Quiet && !is_stuck(&info, self.pull.pin()) {
                self.failures = 0;
                return Ok(());
            }
            let (link, name) = (self.stream.link(), &self.config.name);
            if let Ok(pull) = Pull::new(link, self.stream.name(), name, self.plan).await {
                let pin = self.pull.pin().map(str::to_owned);
                let mut old = mem::replace(&mut self.pull, pull.pinned_as(pin));
                let leftovers = again(old.leftovers(), AFTER_US);
                old.link().send_later(leftovers);
                break;
            }
        }
        counter!(telemetry::REBUILT_TOTAL, "reason" => trouble.label()).increment(1);
        let (stream, name) = (self.stream.name(), &self.config.name);
        tracing::warn!(
            stream,
            consumer = name,
            ?trouble,
            "the consumer was built again"
        );
        Ok(())
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
    async fn look_up(&mut self) -> Result<Option<Info>, ConsumerError> {
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
fn is_ours(info: &Info, pin: Option<&str>) -> bool {
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
