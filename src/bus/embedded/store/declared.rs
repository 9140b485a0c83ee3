//! Declarations as they are written down, with their fields' names.

use crate::bus::{ConsumerConfig, StreamConfig};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Writes a stream's declaration as JSON.
pub(super) fn stream_text(config: &StreamConfig) -> String {
    // Texts, numbers and lists of them can always be written.
    serde_json::to_string(&KeptStream::from(config)).unwrap_or_default()
}

/// Writes a consumer's declaration as JSON.
pub(super) fn consumer_text(config: &ConsumerConfig) -> String {
    serde_json::to_string(&KeptConsumer::from(config)).unwrap_or_default()
}

/// Reads a stream's declaration.
pub(super) fn stream(text: &str) -> Result<StreamConfig, serde_json::Error> {
    serde_json::from_str::<KeptStream>(text).map(Into::into)
}

/// Reads a consumer's declaration.
pub(super) fn consumer(text: &str) -> Result<ConsumerConfig, serde_json::Error> {
    serde_json::from_str::<KeptConsumer>(text).map(Into::into)
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct KeptStream {
    name: String,
    subjects: Vec<String>,
    partitions: u32,
    immutable: bool,
    #[serde(default)]
    last_per_subject: bool,
    max_messages: Option<u64>,
    duplicate_window: Duration,
    replicas: usize,
    #[serde(default)]
    schedules: bool,
}

impl From<&StreamConfig> for KeptStream {
    fn from(config: &StreamConfig) -> Self {
        Self {
            name: config.name.clone(),
            subjects: config.subjects.clone(),
            partitions: config.partitions,
            immutable: config.immutable,
            last_per_subject: config.last_per_subject,
            max_messages: config.max_messages,
            duplicate_window: config.duplicate_window,
            replicas: config.replicas,
            schedules: config.schedules,
        }
    }
}

impl From<KeptStream> for StreamConfig {
    fn from(kept: KeptStream) -> Self {
        Self {
            partitions: kept.partitions,
            immutable: kept.immutable,
            last_per_subject: kept.last_per_subject,
            max_messages: kept.max_messages,
            duplicate_window: kept.duplicate_window,
            replicas: kept.replicas,
            schedules: kept.schedules,
            ..Self::new(kept.name, kept.subjects)
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct KeptConsumer {
    name: String,
    filter: Option<String>,
    partition: Option<u32>,
    ack_wait: Duration,
    max_deliver: Option<u32>,
    max_ack_pending: usize,
    pinned: bool,
}

impl From<&ConsumerConfig> for KeptConsumer {
    fn from(config: &ConsumerConfig) -> Self {
        Self {
            name: config.name.clone(),
            filter: config.filter.clone(),
            partition: config.partition,
            ack_wait: config.ack_wait,
            max_deliver: config.max_deliver,
            max_ack_pending: config.max_ack_pending,
            pinned: config.pinned,
        }
    }
}

impl From<KeptConsumer> for ConsumerConfig {
    fn from(kept: KeptConsumer) -> Self {
        Self {
            filter: kept.filter,
            partition: kept.partition,
            ack_wait: kept.ack_wait,
            max_deliver: kept.max_deliver,
            max_ack_pending: kept.max_ack_pending,
            pinned: kept.pinned,
            ..Self::new(kept.name)
        }
    }
}
