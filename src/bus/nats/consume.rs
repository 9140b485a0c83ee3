use super::{
    ack::{Acker, word},
    api::{ApiError, Nothing},
    core::SEND_WAIT,
    link::backoff,
    place::Place,
    pull::{Plan, Pull, Trouble},
    streams::Stream,
};
use crate::{
    bus::{ConsumerConfig, ConsumerError, Delivery, Start, consumer, declared},
    telemetry,
};
use async_nats::{
    Subject,
    jetstream::{
        ErrorCode,
        consumer::{
            AckPolicy, DeliverPolicy, Info, IntoConsumerConfig, PriorityPolicy, ReplayPolicy, pull,
        },
    },
};
use metrics::counter;
use serde::Serialize;
use std::{mem, time::Duration};
use tokio::time::{sleep, timeout};

/// The one group of a pinned consumer.
const GROUP: &str = "one";
/// How long a pinned handle may ask for nothing before another takes over.
const PIN_LASTS: Duration = Duration::from_secs(6);
/// How long a consumer that nobody uses is kept.
const UNUSED_FOR: Duration = Duration::from_hours(7 * 24);
/// How many messages are asked for ahead.
const AHEAD: usize = 256;

impl Stream {
    pub(in crate::bus) async fn consumer(
        &self,
        config: &ConsumerConfig,
    ) -> Result<Consumer, ConsumerError> {
        declared::consumer(config, self.config())?;
        let wanted = self.server_consumer(config);
        let info = self
            .take_up(&wanted)
            .await
            .map_err(|error| self.unusable(config, error))?;
        let plan = plan(config);
        let pull = Pull::new(self.link(), self.name(), &config.name, plan).await;
        let pull = pull.map_err(|trouble| unavailable(config, format!("{trouble:?}")))?;
        Ok(Consumer {
            stream: self.clone(),
            config: config.clone(),
            wanted,
            plan,
            pull,
            floor: info.ack_floor.stream_sequence,
            trouble: None,
            failures: 0,
        })
    }

    /// Makes the consumer, or takes up the one that is there.
    async fn take_up(&self, wanted: &pull::Config) -> Result<Info, Mismatch> {
        let refused = match self.create_consumer(wanted.clone(), "create").await {
            Ok(info) => return Ok(info),
            Err(ApiError::Refused(error)) if is_taken(error.error_code()) => error,
            Err(error) => return Err(Mismatch::Api(error)),
        };
        let name = wanted.durable_name.as_deref().unwrap_or_default();
        let subject = format!("CONSUMER.INFO.{}.{name}", self.name());
        let found: Info = match self.link().ask_patiently(&subject, &Nothing {}).await {
            Ok(found) => found,
            Err(ApiError::Refused(_)) => return Err(Mismatch::Api(ApiError::Refused(refused))),
            Err(error) => return Err(Mismatch::Api(error)),
        };
        let differences = differences(&found.config, &wanted.into_consumer_config());
        if !differences.is_empty() {
            return Err(Mismatch::Differs(differences.join(", ")));
        }
        // Waits and limits follow the declaration; where it began does not change.
        let update = pull::Config { deliver_policy: found.config.deliver_policy, ..wanted.clone() };
        self.create_consumer(update, "update")
            .await
            .map_err(Mismatch::Api)
    }

    pub(super) async fn create_consumer(
        &self,
        config: pull::Config,
        action: &'static str,
    ) -> Result<Info, ApiError> {
        let name = config.durable_name.as_ref().or(config.name.as_ref());
        let name = name.map_or("", String::as_str);
        let mut subject = format!("CONSUMER.CREATE.{}.{name}", self.name());
        if !config.filter_subject.is_empty() {
            subject.push('.');
            subject.push_str(&config.filter_subject);
        }
        let config = config.into_consumer_config();
        let create = Create { stream_name: self.name(), config, action };
        self.link().ask_patiently(&subject, &create).await
    }

    fn server_consumer(&self, config: &ConsumerConfig) -> pull::Config {
        let filters = match (&config.filter, config.partition) {
            (Some(filter), _) => self.subjects().filters(filter),
            (None, Some(partition)) => self.subjects().partition(partition).into_iter().collect(),
            (None, None) => vec![String::new()],
        };
        let pinned = if config.pinned {
            PriorityPolicy::PinnedClient
        } else {
            PriorityPolicy::None
        };
        pull::Config {
            durable_name: Some(config.name.clone()),
            deliver_policy: match config.start {
                Start::First | Start::Sequence(0) => DeliverPolicy::All,
                Start::Sequence(start_sequence) => {
                    DeliverPolicy::ByStartSequence { start_sequence }
                }
                Start::New => DeliverPolicy::New,
            },
            ack_policy: AckPolicy::Explicit,
            replay_policy: ReplayPolicy::Instant,
            ack_wait: config.ack_wait,
            max_deliver: config.max_deliver.map_or(-1, i64::from),
            max_ack_pending: i64::try_from(config.max_ack_pending).unwrap_or(i64::MAX),
            max_waiting: 512,
            inactive_threshold: UNUSED_FOR,
            priority_policy: pinned,
            priority_groups: config
                .pinned
                .then(|| GROUP.to_owned())
                .into_iter()
                .collect(),
            priority_timeout: if config.pinned {
                PIN_LASTS
            } else {
                Duration::ZERO
            },
            ..filtered(&filters)
        }
    }

    fn unusable(&self, config: &ConsumerConfig, mismatch: Mismatch) -> ConsumerError {
        match mismatch {
            Mismatch::Differs(difference) => {
                ConsumerError::Differs { name: config.name.clone(), difference }
            }
            Mismatch::Api(ApiError::Refused(error))
                if error.error_code() == ErrorCode::STREAM_NOT_FOUND =>
            {
                ConsumerError::NoStream { stream: self.name().into() }
            }
            Mismatch::Api(error) => unavailable(config, error.to_string()),
        }
    }
}

/// A handle to a durable consumer; it mends itself.
#[derive(Debug)]
pub(in crate::bus) struct Consumer {
    stream: Stream,
    config: ConsumerConfig,
    wanted: pull::Config,
    plan: Plan,
    pull: Pull,
    floor: u64,
    trouble: Option<Trouble>,
    failures: u32,
}

impl Consumer {
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

    fn delivery(&self, mut message: async_nats::Message) -> Option<Delivery> {
        let place = Place::of(&message)?;
        let reply = message.reply.take()?;
        let acker = Acker::new(self.stream.link().clone(), reply);
        let stored = self.stream.delivered(message, place);
        let acker = consumer::Acker::Nats(acker);
        Some(Delivery::new(stored, place.attempt, place.pending, acker))
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
            if *trouble == Trouble::Quiet && !is_stuck(&info) {
                self.failures = 0;
                return Ok(());
            }
            let (link, name) = (self.stream.link(), &self.config.name);
            if let Ok(pull) = Pull::new(link, self.stream.name(), name, self.plan).await {
                let pin = self.pull.pin().map(str::to_owned);
                let mut old = mem::replace(&mut self.pull, pull.pinned_as(pin));
                release(self.stream.link(), old.leftovers(), None);
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
        let asked = self.stream.link().ask::<Info>(subject, &Nothing {}).await;
        let info = match asked {
            Ok(info) => info,
            Err(ApiError::Refused(error)) if is_missing(error.error_code()) => {
                let deliver_policy = match self.floor {
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
        self.floor = self.floor.max(info.ack_floor.stream_sequence);
        Ok(Some(info))
    }
}

/// Gives back what was not handed out, and the pin, so that another handle
/// need not wait for either.
impl Drop for Consumer {
    fn drop(&mut self) {
        let pinned = self.pull.pin().is_some();
        let unpin = format!(
            "$JS.API.CONSUMER.UNPIN.{}.{}",
            self.stream.name(),
            self.config.name
        );
        let unpin = pinned.then_some(unpin);
        release(self.stream.link(), self.pull.leftovers(), unpin);
    }
}

fn release(link: &super::Link, replies: Vec<Subject>, unpin: Option<String>) {
    if (replies.is_empty() && unpin.is_none()) || !link.is_connected() {
        return;
    }
    let Ok(runtime) = tokio::runtime::Handle::try_current() else {
        return;
    };
    let client = link.client().clone();
    let giving_back = async move {
        for reply in replies {
            drop(
                client
                    .publish(reply, word(consumer::Ack::Again(Duration::ZERO)))
                    .await,
            );
        }
        if let Some(unpin) = unpin {
            drop(
                client
                    .publish(unpin, format!(r#"{{"group":"{GROUP}"}}"#).into())
                    .await,
            );
        }
    };
    // Nobody waits for its end: without it, the same happens by the server's own timers.
    drop(runtime.spawn(timeout(SEND_WAIT, giving_back)));
}

#[derive(Serialize)]
struct Create<'a> {
    stream_name: &'a str,
    config: async_nats::jetstream::consumer::Config,
    action: &'static str,
}

#[derive(Debug)]
enum Mismatch {
    Differs(String),
    Api(ApiError),
}

/// Returns an empty configuration with these filters.
pub(super) fn filtered(filters: &[String]) -> pull::Config {
    match filters {
        [one] => pull::Config { filter_subject: one.clone(), ..pull::Config::default() },
        many => pull::Config { filter_subjects: many.to_vec(), ..pull::Config::default() },
    }
}

fn plan(config: &ConsumerConfig) -> Plan {
    let seconds = Duration::from_secs;
    Plan {
        batch: config.max_ack_pending.clamp(1, AHEAD),
        expires: if config.pinned {
            PIN_LASTS / 3
        } else {
            seconds(30)
        },
        heartbeat: if config.pinned {
            PIN_LASTS / 6
        } else {
            seconds(10)
        },
        quiet: seconds(60),
        group: config.pinned.then_some(GROUP),
    }
}

/// Names what makes it another consumer: what it reads, and whether by one handle.
fn differences(
    found: &async_nats::jetstream::consumer::Config,
    wanted: &async_nats::jetstream::consumer::Config,
) -> Vec<String> {
    let filters = |config: &async_nats::jetstream::consumer::Config| {
        let mut filters = config.filter_subjects.clone();
        filters.push(config.filter_subject.clone());
        filters.retain(|filter| !filter.is_empty());
        filters.sort_unstable();
        if filters.is_empty() {
            "all".into()
        } else {
            filters.join(" ")
        }
    };
    let pinned = |config: &async_nats::jetstream::consumer::Config| {
        format!("{}", config.priority_policy == PriorityPolicy::PinnedClient)
    };
    [
        ("filter", filters(found), filters(wanted)),
        ("pinned", pinned(found), pinned(wanted)),
        (
            "acks",
            format!("{:?}", found.ack_policy),
            format!("{:?}", wanted.ack_policy),
        ),
    ]
    .into_iter()
    .filter(|(_, found, wanted)| found != wanted)
    .map(|(name, found, wanted)| format!("{name} is {found}, not {wanted}"))
    .collect()
}

/// Whether messages wait though some could be delivered.
fn is_stuck(info: &Info) -> bool {
    let limit = usize::try_from(info.config.max_ack_pending).unwrap_or(usize::MAX);
    let pinned = info.config.priority_policy == PriorityPolicy::PinnedClient;
    info.num_pending > 0 && info.num_ack_pending < limit && !pinned
}

fn is_taken(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::CONSUMER_ALREADY_EXISTS
            | ErrorCode::CONSUMER_NAME_EXIST
            | ErrorCode::CONSUMER_CREATE
            | ErrorCode::CONSUMER_EXISTING_ACTIVE
    )
}

fn is_missing(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::CONSUMER_NOT_FOUND | ErrorCode::CONSUMER_DOES_NOT_EXIST
    )
}

fn unavailable(config: &ConsumerConfig, reason: String) -> ConsumerError {
    ConsumerError::Unavailable { name: config.name.clone(), reason }
}
