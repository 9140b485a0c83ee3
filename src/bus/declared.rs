//! Whether a stream or consumer can be as it is declared.

use super::{
    ConsumerConfig, ConsumerError, StreamConfig, StreamError,
    names::{is_filter, is_name},
    overlap,
};

/// Checks a stream's declaration by itself.
pub(super) fn stream(config: &StreamConfig) -> Result<(), StreamError> {
    match stream_fault(config) {
        None => Ok(()),
        Some(reason) => Err(StreamError::Invalid { name: config.name.clone(), reason }),
    }
}

fn stream_fault(config: &StreamConfig) -> Option<String> {
    let subjects = &config.subjects;
    if !is_name(&config.name) {
        return Some("a name has no dot, wildcard, slash or white space".into());
    }
    if subjects.is_empty() {
        return Some("it names no subjects to keep".into());
    }
    if let Some(bad) = subjects.iter().find(|subject| !is_filter(subject)) {
        return Some(format!("`{}` is not a filter", bad.escape_debug()));
    }
    for (at, subject) in subjects.iter().enumerate() {
        if let Some(other) = subjects[..at].iter().find(|other| overlap(other, subject)) {
            return Some(format!("its subjects {other} and {subject} overlap"));
        }
    }
    if config.partitions > 0 && !is_partitionable(config) {
        return Some("partitions need exactly one subject, ending in `.*`".into());
    }
    if config.schedules && config.immutable {
        return Some("it cannot be immutable and keep schedules, which leave it when due".into());
    }
    if config.schedules && (config.max_messages.is_some() || config.last_per_subject) {
        return Some("a limit would drop schedules before they are due".into());
    }
    if config.last_per_subject && config.partitions > 0 {
        return Some("a stream that keeps the last message per subject has no partitions".into());
    }
    if config.replicas == 0 {
        return Some("it needs at least one replica".into());
    }
    None
}

/// Whether the first subject can be filed by partition without another in its way.
fn is_partitionable(config: &StreamConfig) -> bool {
    let Some((first, others)) = config.subjects.split_first() else {
        return false;
    };
    let filed = format!("{first}.*");
    first.ends_with(".*")
        && (others.is_empty() || config.schedules)
        && !others.iter().any(|other| overlap(other, &filed))
}

/// Checks a consumer's declaration against its stream's.
pub(super) fn consumer(
    config: &ConsumerConfig,
    stream: &StreamConfig,
) -> Result<(), ConsumerError> {
    match consumer_fault(config, stream) {
        None => Ok(()),
        Some(reason) => Err(ConsumerError::Invalid { name: config.name.clone(), reason }),
    }
}

fn consumer_fault(config: &ConsumerConfig, stream: &StreamConfig) -> Option<String> {
    if !is_name(&config.name) {
        return Some("a name has no dot, wildcard, slash or white space".into());
    }
    if stream.last_per_subject {
        return Some(
            "a stream that keeps the last message per subject is read, not consumed".into(),
        );
    }
    if config.ack_wait.is_zero() {
        return Some("an ack wait of zero leaves no time to acknowledge".into());
    }
    if config.max_ack_pending == 0 || config.max_deliver == Some(0) {
        return Some("a limit of zero delivers nothing".into());
    }
    if config.filter.is_some() && config.partition.is_some() {
        return Some("it has a filter and a partition; give one".into());
    }
    if let Some(partition) = config.partition.filter(|at| *at >= stream.partitions) {
        let count = stream.partitions;
        return Some(format!("there is no partition {partition} of {count}"));
    }
    let filter = config.filter.as_deref()?;
    if !is_filter(filter) {
        return Some(format!("`{}` is not a filter", filter.escape_debug()));
    }
    (!keeps(stream, filter)).then(|| format!("stream {} keeps nothing of {filter}", stream.name))
}

/// Whether a stream keeps some subject of a filter.
pub(super) fn keeps(stream: &StreamConfig, filter: &str) -> bool {
    stream
        .subjects
        .iter()
        .any(|subject| overlap(subject, filter))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(subjects: &[&str]) -> StreamConfig {
        StreamConfig::new("s", subjects.iter().map(|&subject| subject.to_owned()))
    }

    #[test]
    fn a_stream_needs_subjects_that_do_not_overlap() {
        assert_eq!(stream(&config(&["a.*", "b.>"])), Ok(()));
        for bad in [&[][..], &["a..b"], &["a.*", "a.b"]] {
            assert!(stream(&config(bad)).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_consumer_reads_a_part_that_is_there() {
        let mut stream = config(&["a.*"]);
        stream.partitions = 4;
        let check = |filter: Option<&str>, partition| {
            let mut config = ConsumerConfig::new("c");
            config.filter = filter.map(Into::into);
            config.partition = partition;
            consumer(&config, &stream).is_ok()
        };
        assert!(check(None, Some(3)) && check(Some("a.b"), None) && check(Some("a.*"), None));
        assert!(!check(None, Some(4)) && !check(Some("a.b"), Some(1)) && !check(Some("b.*"), None));
    }
}
