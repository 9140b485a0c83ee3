use super::{
    api::{ApiError, Nothing, PATIENCE},
    identity::gone,
    link::Link,
    subjects::Subjects,
};
use crate::bus::{
    CancelError, Presence, ReadError, StreamConfig, StreamError, StreamInfo, declared,
    names::is_subject, overlap,
};
use async_nats::jetstream::{
    ErrorCode,
    stream::{
        Config, DiscardPolicy, Info, PurgeRequest, PurgeResponse, RetentionPolicy, StorageType,
        SubjectTransform,
    },
};
use futures_util::StreamExt;
use std::{fmt, sync::Arc, time::Duration};
use tokio::time::{Instant, timeout};

const LIST_WITHIN: Duration = Duration::from_secs(10);

/// A handle to one stream.
#[derive(Clone)]
pub(in crate::bus) struct Stream(Arc<Inner>);

struct Inner {
    link: Link,
    config: StreamConfig,
    subjects: Subjects,
}

impl Link {
    pub(in crate::bus) async fn stream(
        &self,
        config: &StreamConfig,
    ) -> Result<Stream, StreamError> {
        declared::stream(config)?;
        let subjects = Subjects::new(config);
        let wanted = server_config(config, &subjects);
        let name = &config.name;
        let deadline = Instant::now() + PATIENCE;
        let identified = self.identified(deadline).await;
        identified.map_err(|reason| unavailable(name, reason))?;
        // One that was there is not made again: it would be another, and empty.
        if self.is_provisioned() || self.identities().knows(name) {
            self.check_existing(&wanted).await?;
            return Ok(self.handle(config, subjects));
        }
        let create = format!("STREAM.CREATE.{name}");
        match self.ask_patiently::<Info>(&create, &wanted).await {
            Ok(made) => {
                self.note(&made)?;
                if let Some(ignored) = differences(&made.config, &wanted) {
                    let reason = format!("the server ignores settings: {ignored}");
                    return Err(unavailable(name, reason));
                }
            }
            Err(ApiError::Refused(error)) => match error.error_code() {
                ErrorCode::STREAM_NAME_EXIST => self.check_existing(&wanted).await?,
                ErrorCode::STREAM_SUBJECT_OVERLAP => return Err(self.overlapping(config).await),
                ErrorCode::STREAM_INVALID_CONFIG => {
                    return Err(invalid(name, error.to_string()));
                }
                _ => return Err(unavailable(name, error.to_string())),
            },
            Err(error) => return Err(unavailable(name, error.to_string())),
        }
        Ok(self.handle(config, subjects))
    }

    /// Returns a handle to a stream that may be there.
    pub(super) fn handle(&self, config: &StreamConfig, subjects: Subjects) -> Stream {
        let (link, config) = (self.clone(), config.clone());
        Stream(Arc::new(Inner { link, config, subjects }))
    }

    pub(in crate::bus) async fn has_stream(&self, name: &str) -> Result<bool, StreamError> {
        let ask = format!("STREAM.INFO.{name}");
        match self.ask::<Info>(ask, &Nothing {}).await {
            Ok(_) => Ok(true),
            Err(ApiError::Refused(error)) if error.error_code() == ErrorCode::STREAM_NOT_FOUND => {
                Ok(false)
            }
            Err(error) => Err(unavailable(name, error.to_string())),
        }
    }

    pub(in crate::bus) async fn streams(&self) -> Result<Vec<StreamInfo>, StreamError> {
        if !self.is_connected() {
            return Err(unavailable("*", "no connection".into()));
        }
        let list = async {
            let mut found = Vec::new();
            let mut pages = self.api().streams();
            while let Some(info) = pages.next().await {
                let info = info.map_err(|error| unavailable("*", error.to_string()))?;
                found.push(stream_info(info));
            }
            Ok(found)
        };
        timeout(LIST_WITHIN, list)
            .await
            .unwrap_or_else(|_| Err(unavailable("*", "no answer".into())))
    }

    pub(in crate::bus) async fn compare(
        &self,
        config: &StreamConfig,
    ) -> Result<Presence, StreamError> {
        declared::stream(config)?;
        self.found(&server_config(config, &Subjects::new(config)))
            .await
    }

    async fn found(&self, wanted: &Config) -> Result<Presence, StreamError> {
        let subject = format!("STREAM.INFO.{}", wanted.name);
        match self.ask_patiently::<Info>(&subject, &Nothing {}).await {
            Ok(found) => Ok(Presence::of(differences(&found.config, wanted))),
            Err(ApiError::Refused(error)) if error.error_code() == ErrorCode::STREAM_NOT_FOUND => {
                Ok(Presence::Missing)
            }
            Err(error) => Err(unavailable(&wanted.name, error.to_string())),
        }
    }

    /// Checks that a stream is there as it is wanted, and the one that it was.
    async fn check_existing(&self, wanted: &Config) -> Result<(), StreamError> {
        let name = wanted.name.clone();
        let subject = format!("STREAM.INFO.{name}");
        match self.ask_patiently::<Info>(&subject, &Nothing {}).await {
            Ok(found) => {
                self.note(&found)?;
                match differences(&found.config, wanted) {
                    None => Ok(()),
                    Some(difference) => Err(StreamError::Differs { name, difference }),
                }
            }
            Err(ApiError::Refused(error)) if error.error_code() == ErrorCode::STREAM_NOT_FOUND => {
                if self.identities().knows(&name) {
                    return Err(unavailable(&name, gone(&name)));
                }
                Err(StreamError::Missing { name })
            }
            Err(error) => Err(unavailable(&name, error.to_string())),
        }
    }

    /// Notes which stream it is that was opened.
    fn note(&self, info: &Info) -> Result<(), StreamError> {
        let noted = self.identities().note(info);
        noted.map_err(|reason| unavailable(&info.config.name, reason))
    }

    /// Finds out which stream has a subject that is wanted.
    async fn overlapping(&self, config: &StreamConfig) -> StreamError {
        let others = match self.streams().await {
            Ok(others) => others,
            Err(error) => return error,
        };
        let mut taken = others
            .into_iter()
            .filter(|other| other.name != config.name)
            .flat_map(|StreamInfo { name, subjects, .. }| {
                subjects
                    .into_iter()
                    .map(move |subject| (name.clone(), subject))
            });
        let found = taken.find_map(|(other, theirs)| {
            let subject = config.subjects.iter().find(|ours| overlap(ours, &theirs))?;
            Some((other, subject.clone()))
        });
        match found {
            Some((other, subject)) => {
                StreamError::Overlaps { name: config.name.clone(), subject, other }
            }
            None => unavailable(&config.name, "its subjects overlap another stream's".into()),
        }
    }
}

impl Stream {
    pub(in crate::bus) async fn info(&self) -> Result<StreamInfo, ReadError> {
        let subject = format!("STREAM.INFO.{}", self.name());
        match self
            .link()
            .ask_patiently::<Info>(&subject, &Nothing {})
            .await
        {
            Ok(info) => Ok(stream_info(info)),
            Err(error) => Err(self.unreadable(&error)),
        }
    }

    pub(in crate::bus) async fn cancel(&self, subject: &str) -> Result<bool, CancelError> {
        let (stream, at) = (self.name().to_owned(), subject.to_owned());
        if !self.config().schedules || !is_subject(subject) || !self.subjects().keeps(subject) {
            return Err(CancelError::NotKept { stream, subject: at });
        }
        let purge = PurgeRequest {
            filter: Some(self.subjects().stored(subject).into_owned()),
            ..PurgeRequest::default()
        };
        let ask = format!("STREAM.PURGE.{stream}");
        let purged = self.link().ask_patiently::<PurgeResponse>(&ask, &purge);
        match purged.await {
            Ok(purged) => Ok(purged.purged > 0),
            Err(ApiError::Refused(error)) if error.error_code() == ErrorCode::STREAM_NOT_FOUND => {
                Err(CancelError::NoStream { stream })
            }
            Err(error) => {
                let reason = error.to_string();
                Err(CancelError::Unavailable { stream, subject: at, reason })
            }
        }
    }

    pub(super) fn link(&self) -> &Link {
        &self.0.link
    }

    pub(super) fn name(&self) -> &str {
        &self.0.config.name
    }

    pub(super) fn config(&self) -> &StreamConfig {
        &self.0.config
    }

    pub(super) fn subjects(&self) -> &Subjects {
        &self.0.subjects
    }

    pub(super) fn unreadable(&self, error: &ApiError) -> ReadError {
        let stream = self.name().to_owned();
        match error {
            ApiError::Refused(error) if error.error_code() == ErrorCode::STREAM_NOT_FOUND => {
                ReadError::NoStream { stream }
            }
            error => ReadError::Unavailable { stream, reason: error.to_string() },
        }
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Stream").field(&self.0.config.name).finish()
    }
}

fn server_config(config: &StreamConfig, subjects: &Subjects) -> Config {
    let limit = config
        .max_messages
        .map(|limit| i64::try_from(limit).unwrap_or(i64::MAX));
    Config {
        name: config.name.clone(),
        subjects: config.subjects.clone(),
        retention: RetentionPolicy::Limits,
        // With schedules the server wants the other policy; without limits it
        // drops nothing either.
        discard: if config.schedules {
            DiscardPolicy::Old
        } else {
            DiscardPolicy::New
        },
        max_messages: limit.unwrap_or(-1),
        max_bytes: -1,
        max_messages_per_subject: if config.last_per_subject { 1 } else { -1 },
        max_consumers: -1,
        max_message_size: -1,
        max_age: Duration::ZERO,
        storage: if config.memory {
            StorageType::Memory
        } else {
            StorageType::File
        },
        num_replicas: config.replicas,
        duplicate_window: config.duplicate_window,
        deny_delete: config.immutable,
        deny_purge: config.immutable,
        allow_rollup: config.schedules,
        allow_message_schedules: config.schedules,
        subject_transform: subjects
            .transform()
            .map(|(source, destination)| SubjectTransform { source, destination }),
        ..Config::default()
    }
}

/// Names each setting that matters here and differs, as found and as wanted.
fn differences(found: &Config, wanted: &Config) -> Option<String> {
    let pairs = settings(found).into_iter().zip(settings(wanted));
    let more = |name: &str| {
        (name == "deny_delete" && found.deny_delete) || (name == "deny_purge" && found.deny_purge)
    };
    let differ: Vec<_> = pairs
        .filter(|((name, found), (_, wanted))| found != wanted && !more(name))
        .map(|((name, found), (_, wanted))| format!("{name} is {found}, not {wanted}"))
        .collect();
    (!differ.is_empty()).then(|| differ.join(", "))
}

fn settings(config: &Config) -> [(&'static str, String); 24] {
    let mut subjects = config.subjects.clone();
    subjects.sort_unstable();
    let transform = config.subject_transform.as_ref();
    [
        ("subjects", subjects.join(" ")),
        (
            "transform",
            transform.map_or("none".into(), |to| to.destination.clone()),
        ),
        ("retention", format!("{:?}", config.retention)),
        ("discard", format!("{:?}", config.discard)),
        ("storage", format!("{:?}", config.storage)),
        ("max_age", format!("{:?}", config.max_age)),
        ("max_messages", limit(config.max_messages)),
        (
            "max_messages_per_subject",
            limit(config.max_messages_per_subject),
        ),
        ("max_bytes", limit(config.max_bytes)),
        ("replicas", config.num_replicas.to_string()),
        ("duplicate_window", format!("{:?}", config.duplicate_window)),
        ("deny_delete", config.deny_delete.to_string()),
        ("deny_purge", config.deny_purge.to_string()),
        ("allow_rollup", config.allow_rollup.to_string()),
        ("schedules", config.allow_message_schedules.to_string()),
        ("sealed", config.sealed.to_string()),
        ("no_ack", config.no_ack.to_string()),
        // Each of these can lose or forge what is stored.
        ("persist_mode", persist_mode(config)),
        ("allow_msg_ttl", config.allow_message_ttl.to_string()),
        (
            "subject_delete_marker_ttl",
            format!("{:?}", config.subject_delete_marker_ttl.unwrap_or_default()),
        ),
        ("max_msg_size", limit(config.max_message_size.into())),
        ("mirror", is_set(config.mirror.is_some())),
        (
            "sources",
            is_set(
                config
                    .sources
                    .as_ref()
                    .is_some_and(|sources| !sources.is_empty()),
            ),
        ),
        ("republish", is_set(config.republish.is_some())),
    ]
}

fn is_set(set: bool) -> String {
    if set { "set" } else { "not set" }.into()
}

/// Returns how soon a message is stored; a server that does not say uses the default.
fn persist_mode(config: &Config) -> String {
    config
        .persist_mode
        .map_or_else(|| "Default".into(), |mode| format!("{mode:?}"))
}

fn limit(limit: i64) -> String {
    if limit <= 0 {
        "unlimited".into()
    } else {
        limit.to_string()
    }
}

fn stream_info(info: Info) -> StreamInfo {
    StreamInfo {
        immutable: info.config.deny_delete,
        name: info.config.name,
        subjects: info.config.subjects,
        messages: info.state.messages,
        last_sequence: info.state.last_sequence,
    }
}

fn invalid(name: &str, reason: String) -> StreamError {
    StreamError::Invalid { name: name.into(), reason }
}

fn unavailable(name: &str, reason: String) -> StreamError {
    StreamError::Unavailable { name: name.into(), reason }
}
