//! Where a stream files what was published on a subject.

use crate::bus::{self, StreamConfig};
use std::borrow::Cow;

/// The subjects of a stream, as published and as stored.
#[derive(Debug)]
pub(super) struct Subjects {
    published: Vec<String>,
    /// The filter of what is filed by partition, as it is stored.
    filed: Vec<String>,
    partitions: u32,
}

impl Subjects {
    pub(super) fn new(config: &StreamConfig) -> Self {
        Self::of(config.subjects.clone(), config.partitions)
    }

    fn of(published: Vec<String>, partitions: u32) -> Self {
        let filed = published.first().map(|first| format!("{first}.*"));
        Self { filed: filed.into_iter().collect(), published, partitions }
    }

    /// Returns the filters of all that is stored.
    pub(super) fn all(&self) -> Vec<String> {
        if self.partitions == 0 {
            return self.published.clone();
        }
        let others = self.published.iter().skip(1);
        self.filed.iter().chain(others).cloned().collect()
    }

    /// Whether the stream keeps what is published on this subject.
    pub(super) fn keeps(&self, subject: &str) -> bool {
        self.published
            .iter()
            .any(|filter| bus::matches(filter, subject))
    }

    /// Returns the stored subject of a published one.
    pub(super) fn stored<'a>(&self, subject: &'a str) -> Cow<'a, str> {
        if !self.files(&self.published, subject) {
            return Cow::Borrowed(subject);
        }
        let (front, key) = subject.rsplit_once('.').unwrap_or(("", subject));
        let partition = bus::partition(key, self.partitions);
        Cow::Owned(format!("{front}.{partition}.{key}"))
    }

    /// Returns the published subject of a stored one.
    pub(super) fn published(&self, stored: &str) -> String {
        if !self.files(&self.filed, stored) {
            return stored.to_owned();
        }
        let (front, key) = stored.rsplit_once('.').unwrap_or(("", stored));
        let (front, _) = front.rsplit_once('.').unwrap_or((front, ""));
        let mut subject = String::with_capacity(front.len() + 1 + key.len());
        subject.push_str(front);
        subject.push('.');
        subject.push_str(key);
        subject
    }

    /// Returns the filters of stored subjects for a filter of published ones:
    /// none if the stream keeps nothing of it, one empty for all it keeps.
    pub(super) fn filters(&self, filter: &str) -> Vec<String> {
        let common = self.published.iter().enumerate();
        let common: Vec<(usize, String)> = common
            .filter_map(|(at, subject)| Some((at, intersection(subject, filter)?)))
            .collect();
        if common.iter().map(|(_, filter)| filter).eq(&self.published) {
            return vec![String::new()];
        }
        common
            .into_iter()
            .map(|(at, filter)| {
                if at == 0 {
                    self.stored_filter(filter)
                } else {
                    filter
                }
            })
            .collect()
    }

    /// Whether a subject is one of those that are filed by partition: the
    /// first of these filters.
    fn files(&self, filters: &[String], subject: &str) -> bool {
        self.partitions > 0
            && (self.published.len() == 1
                || filters
                    .first()
                    .is_some_and(|first| bus::matches(first, subject)))
    }

    /// Returns the filter of the stored subjects of one partition.
    pub(super) fn partition(&self, partition: u32) -> Option<String> {
        if partition >= self.partitions {
            return None;
        }
        let front = self.published.first()?.strip_suffix('*')?;
        Some(format!("{front}{partition}.*"))
    }

    /// Returns the broker's rule that files messages by partition: from, to.
    pub(super) fn transform(&self) -> Option<(String, String)> {
        if self.partitions == 0 {
            return None;
        }
        let from = self.published.first()?;
        let mut wildcards = 0;
        let front = from.strip_suffix(".*")?.split('.').map(|token| {
            if token == "*" {
                wildcards += 1;
                format!("{{{{wildcard({wildcards})}}}}.")
            } else {
                format!("{token}.")
            }
        });
        let front: String = front.collect();
        let last = wildcards + 1;
        let to = format!(
            "{front}{{{{partition({},{last})}}}}.{{{{wildcard({last})}}}}",
            self.partitions
        );
        Some((from.clone(), to))
    }

    fn stored_filter(&self, filter: String) -> String {
        if self.partitions == 0 {
            return filter;
        }
        match filter.rsplit_once('.') {
            Some((front, "*")) => format!("{front}.*.*"),
            _ => self.stored(&filter).into_owned(),
        }
    }
}

/// Returns the filter of the subjects that match both.
fn intersection(a: &str, b: &str) -> Option<String> {
    let (mut a_rest, mut b_rest) = (a.split('.'), b.split('.'));
    let mut tokens = Vec::new();
    loop {
        match (a_rest.next(), b_rest.next()) {
            (None, None) => return Some(tokens.join(".")),
            (Some(">"), Some(token)) => {
                tokens.push(token);
                tokens.extend(b_rest);
                return Some(tokens.join("."));
            }
            (Some(token), Some(">")) => {
                tokens.push(token);
                tokens.extend(a_rest);
                return Some(tokens.join("."));
            }
            (Some("*"), Some(token)) => tokens.push(token),
            (Some(token), Some(other)) if token == other || other == "*" => tokens.push(token),
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn orders() -> Subjects {
        Subjects::of(vec!["s.evt.orders.*".into()], 8)
    }

    #[test]
    fn a_partition_stands_before_the_key() {
        let stored = orders().stored("s.evt.orders.o-42").into_owned();
        let partition = bus::partition("o-42", 8);
        assert_eq!(stored, format!("s.evt.orders.{partition}.o-42"));
        assert_eq!(orders().published(&stored), "s.evt.orders.o-42");
        assert_eq!(orders().filters("s.evt.orders.o-42"), [stored]);
        assert_eq!(orders().partition(3).as_deref(), Some("s.evt.orders.3.*"));
        assert_eq!(orders().partition(8), None);
    }

    #[test]
    fn a_filter_is_cut_to_what_the_stream_keeps() {
        for all in [">", "s.>", "s.evt.orders.*", "*.*.*.*"] {
            assert_eq!(orders().filters(all), [""], "{all}");
        }
        for none in ["s.evt.users.*", "s.evt.orders", "s.evt.orders.a.b"] {
            assert!(orders().filters(none).is_empty(), "{none}");
        }
        let two = Subjects::of(vec!["a.*".into(), "b.>".into()], 0);
        assert_eq!(two.filters("*.x"), ["a.x", "b.x"]);
        assert_eq!(two.filters("a.*"), ["a.*"]);
        assert_eq!(two.filters(">"), [""]);
    }

    #[test]
    fn beside_a_partitioned_subject_others_stay_as_they_are() {
        let jobs = Subjects::of(vec!["s.job.d.*.*".into(), "s.tmr.d.>".into()], 8);
        let stored = jobs.stored("s.job.d.charge.k").into_owned();
        let partition = bus::partition("k", 8);
        assert_eq!(stored, format!("s.job.d.charge.{partition}.k"));
        assert_eq!(jobs.published(&stored), "s.job.d.charge.k");
        for timer in ["s.tmr.d.charge.k.n", "s.tmr.d.a.b"] {
            assert_eq!(
                (&*jobs.stored(timer), &*jobs.published(timer)),
                (timer, timer)
            );
        }
        assert_eq!(jobs.filters(">"), [""]);
        assert_eq!(jobs.filters("s.job.>"), ["s.job.d.*.*.*"]);
        assert_eq!(jobs.filters("s.tmr.>"), ["s.tmr.d.>"]);
        assert_eq!(jobs.partition(3).as_deref(), Some("s.job.d.*.3.*"));
    }

    #[test]
    fn the_transform_names_its_wildcards() {
        let (from, to) = orders().transform().expect("it is partitioned");
        assert_eq!(from, "s.evt.orders.*");
        assert_eq!(to, "s.evt.orders.{{partition(8,1)}}.{{wildcard(1)}}");
    }
}
