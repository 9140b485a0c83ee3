//! Whether a stream or consumer can be as it is declared.

use super::{
    interest::Part,
    names::{is_filter, is_name},
};
use crate::bus::{ConsumerConfig, ConsumerError, StreamConfig, StreamError, overlap};
use std::fmt::Debug;

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
    let partitionable = matches!(&subjects[..], [only] if only.ends_with(".*"));
    if config.partitions > 0 && !partitionable {
        return Some("partitions need exactly one subject, ending in `.*`".into());
    }
    if config.replicas == 0 {
        return Some("it needs at least one replica".into());
    }
    None
}

/// Returns each setting in which two declarations of one stream differ.
pub(super) fn difference(there: &StreamConfig, wanted: &StreamConfig) -> Option<String> {
    let subjects = |config: &StreamConfig| {
        let mut subjects = config.subjects.clone();
        subjects.sort_unstable();
        subjects
    };
    let all = [
        differs("subjects", &subjects(there), &subjects(wanted)),
        differs("partitions", &there.partitions, &wanted.partitions),
        differs("immutable", &there.immutable, &wanted.immutable),
        differs("max_messages", &there.max_messages, &wanted.max_messages),
        differs(
            "duplicate_window",
            &there.duplicate_window,
            &wanted.duplicate_window,
        ),
        differs("replicas", &there.replicas, &wanted.replicas),
        differs("memory", &there.memory, &wanted.memory),
    ];
    let all: Vec<_> = all.into_iter().flatten().collect();
    (!all.is_empty()).then(|| all.join("; "))
}

fn differs<T: PartialEq + Debug>(setting: &str, there: &T, wanted: &T) -> Option<String> {
    (there != wanted).then(|| format!("{setting} is {there:?}, not {wanted:?}"))
}

/// Checks a consumer's declaration and returns which part of the stream it reads.
pub(super) fn part(config: &ConsumerConfig, stream: &StreamConfig) -> Result<Part, ConsumerError> {
    let invalid = |reason: String| ConsumerError::Invalid { name: config.name.clone(), reason };
    if let Some(reason) = consumer_fault(config, stream) {
        return Err(invalid(reason));
    }
    Ok(match (&config.filter, config.partition) {
        (Some(filter), _) => Part::of(filter, &stream.subjects),
        (None, Some(partition)) => Part::Partition(partition),
        (None, None) => Part::All,
    })
}

fn consumer_fault(config: &ConsumerConfig, stream: &StreamConfig) -> Option<String> {
    if !is_name(&config.name) {
        return Some("a name has no dot, wildcard, slash or white space".into());
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
    fn each_difference_is_named_as_found_and_as_wanted() {
        let (there, mut wanted) = (config(&["a", "b"]), config(&["b", "a"]));
        assert_eq!(difference(&there, &wanted), None);
        wanted.partitions = 2;
        wanted.memory = true;
        let expected = "partitions is 0, not 2; memory is false, not true";
        assert_eq!(difference(&there, &wanted).as_deref(), Some(expected));
    }

    #[test]
    fn a_consumer_reads_a_part_that_is_there() {
        let mut stream = config(&["a.*"]);
        stream.partitions = 4;
        let part = |filter: Option<&str>, partition| {
            let mut config = ConsumerConfig::new("c");
            config.filter = filter.map(Into::into);
            config.partition = partition;
            part(&config, &stream)
        };
        assert!(matches!(part(None, Some(3)), Ok(Part::Partition(3))));
        assert!(matches!(part(Some("a.b"), None), Ok(Part::Subject(_))));
        assert!(matches!(part(Some("a.*"), None), Ok(Part::All)));
        assert!(part(None, Some(4)).is_err());
        assert!(part(Some("a.b"), Some(1)).is_err());
        assert!(part(Some("b.*"), None).is_err());
    }
}
