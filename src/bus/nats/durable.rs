//! How consumers are declared to the server.

use super::{
    api::{ApiError, Nothing},
    consume::Consumer,
    link::Link,
    pull::{Plan, Pull},
    streams::Stream,
    subjects::Subjects,
};
use crate::bus::{
    ConsumerConfig, ConsumerError, Presence, Progress, Start, StreamConfig, declared,
};
use async_nats::jetstream::{
    ErrorCode,
    consumer::{
        AckPolicy, DeliverPolicy, Info, IntoConsumerConfig, PriorityPolicy, ReplayPolicy, pull,
    },
};
use serde::Serialize;
use std::time::Duration;

/// The one group of a pinned consumer.
pub(super) const GROUP: &str = "one";
/// How long a pinned handle may ask for nothing before another takes over.
const PIN_LASTS: Duration = Duration::from_secs(6);
/// How many messages are asked for ahead.
const AHEAD: usize = 256;

impl Link {
    pub(in crate::bus) async fn compare_consumer(
        &self,
        stream: &StreamConfig,
        config: &ConsumerConfig,
    ) -> Result<Presence, ConsumerError> {
        declared::consumer(config, stream)?;
        let handle = self.handle(stream, Subjects::new(stream));
        let wanted = handle.server_consumer(config).into_consumer_config();
        let subject = format!("CONSUMER.INFO.{}.{}", stream.name, config.name);
        match self.ask_patiently::<Info>(&subject, &Nothing {}).await {
            Ok(found) => Ok(Presence::of(differences(&found.config, &wanted))),
            Err(ApiError::Refused(error)) if is_missing(error.error_code()) => {
                Ok(Presence::Missing)
            }
            Err(error) => Err(unavailable(config, error.to_string())),
        }
    }
}

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
        let pull = pull.map_err(|trouble| unavailable(config, trouble.to_string()))?;
        Ok(Consumer::new(self, config, wanted, (plan, pull), &info))
    }

    pub(in crate::bus) async fn progress_of(
        &self,
        name: &str,
    ) -> Result<Option<Progress>, ConsumerError> {
        let subject = format!("CONSUMER.INFO.{}.{name}", self.name());
        match self
            .link()
            .ask_patiently::<Info>(&subject, &Nothing {})
            .await
        {
            Ok(info) => Ok(Some(progress(&info, false))),
            Err(ApiError::Refused(error)) if is_missing(error.error_code()) => Ok(None),
            Err(error) => {
                let (name, reason) = (name.to_owned(), error.to_string());
                Err(ConsumerError::Unavailable { name, reason })
            }
        }
    }

    /// Makes the consumer, or takes up the one that is there.
    pub(super) async fn take_up(&self, wanted: &pull::Config) -> Result<Info, Mismatch> {
        let name = wanted.durable_name.as_deref().unwrap_or_default();
        let subject = format!("CONSUMER.INFO.{}.{name}", self.name());
        if self.link().is_provisioned() {
            return match self.link().ask_patiently(&subject, &Nothing {}).await {
                Ok(found) => same(found, wanted),
                Err(ApiError::Refused(error)) if is_missing(error.error_code()) => {
                    Err(Mismatch::Missing)
                }
                Err(error) => Err(Mismatch::Api(error)),
            };
        }
        let refused = match self.create_consumer(wanted.clone(), "create").await {
            Ok(info) => return Ok(info),
            Err(ApiError::Refused(error)) if is_taken(error.error_code()) => error,
            Err(error) => return Err(Mismatch::Api(error)),
        };
        let found: Info = match self.link().ask_patiently(&subject, &Nothing {}).await {
            Ok(found) => found,
            Err(ApiError::Refused(_)) => return Err(Mismatch::Api(ApiError::Refused(refused))),
            Err(error) => return Err(Mismatch::Api(error)),
        };
        let found = same(found, wanted)?;
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
            // A place that is lost would be read from the start again: it is kept for good.
            inactive_threshold: Duration::ZERO,
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

    pub(super) fn unusable(&self, config: &ConsumerConfig, mismatch: Mismatch) -> ConsumerError {
        match mismatch {
            Mismatch::Differs(difference) => {
                ConsumerError::Differs { name: config.name.clone(), difference }
            }
            Mismatch::Missing => {
                let (name, stream) = (config.name.clone(), self.name().to_owned());
                ConsumerError::Missing { name, stream }
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

#[derive(Serialize)]
struct Create<'a> {
    stream_name: &'a str,
    config: async_nats::jetstream::consumer::Config,
    action: &'static str,
}

#[derive(Debug)]
pub(super) enum Mismatch {
    Differs(String),
    /// It is not there, and may not be made here.
    Missing,
    Api(ApiError),
}

/// Returns how far a consumer is, and whether it is this handle's.
pub(super) fn progress(info: &Info, ours: bool) -> Progress {
    Progress {
        floor: info.ack_floor.stream_sequence,
        delivered: info.delivered.stream_sequence,
        turns: info.delivered.consumer_sequence,
        outstanding: info.num_ack_pending,
        ours,
    }
}

/// Checks that a consumer that is there is the one that is wanted.
fn same(found: Info, wanted: &pull::Config) -> Result<Info, Mismatch> {
    match differences(&found.config, &wanted.into_consumer_config()) {
        None => Ok(found),
        Some(difference) => Err(Mismatch::Differs(difference)),
    }
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
            seconds(3)
        },
        quiet: seconds(if config.pinned { 30 } else { 60 }),
        group: config.pinned.then_some(GROUP),
        lapse: config.pinned.then(|| config.ack_wait / 6 * 5),
    }
}

/// Names what makes it another consumer: what it reads, and whether by one handle.
fn differences(
    found: &async_nats::jetstream::consumer::Config,
    wanted: &async_nats::jetstream::consumer::Config,
) -> Option<String> {
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
    let differ: Vec<_> = [
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
    .collect();
    (!differ.is_empty()).then(|| differ.join(", "))
}

fn is_missing(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::CONSUMER_NOT_FOUND | ErrorCode::STREAM_NOT_FOUND
    )
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

pub(super) fn unavailable(config: &ConsumerConfig, reason: String) -> ConsumerError {
    ConsumerError::Unavailable { name: config.name.clone(), reason }
}
