//! What a declaration means for what is there already.

use super::interest::Part;
use crate::bus::{ConsumerConfig, ConsumerError, StreamConfig, declared};
use std::fmt::Debug;

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
        // One that is more so than it need be is accepted.
        differs(
            "immutable",
            &there.immutable,
            &(there.immutable || wanted.immutable),
        ),
        differs("schedules", &there.schedules, &wanted.schedules),
        differs(
            "last_per_subject",
            &there.last_per_subject,
            &wanted.last_per_subject,
        ),
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
    declared::consumer(config, stream)?;
    Ok(match (&config.filter, config.partition) {
        (Some(filter), _) => Part::of(filter, &stream.subjects),
        (None, Some(partition)) => Part::Partition(partition),
        (None, None) => Part::All,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(subjects: &[&str]) -> StreamConfig {
        StreamConfig::new("s", subjects.iter().map(|&subject| subject.to_owned()))
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
