use super::pattern::Pattern;
use crate::bus::names::is_one;
use std::collections::HashMap;

/// Which part of a stream a consumer reads.
#[derive(Clone, Debug)]
pub(super) enum Part {
    All,
    Partition(u32),
    Subject(Box<str>),
    Pattern(Pattern),
}

impl Part {
    /// Returns the part that a filter names in a stream of these subjects.
    pub(super) fn of(filter: &str, subjects: &[String]) -> Self {
        match subjects {
            [only] if only == filter => Self::All,
            _ if is_one(filter) => Self::Subject(filter.into()),
            _ => Self::Pattern(Pattern::new(filter)),
        }
    }

    pub(super) fn has(&self, subject: &str, partition: Option<u32>) -> bool {
        match self {
            Self::All => true,
            Self::Partition(wanted) => partition == Some(*wanted),
            Self::Subject(wanted) => &**wanted == subject,
            Self::Pattern(pattern) => pattern.matches(subject),
        }
    }
}

/// Which consumers, by number, want a message: found without asking each.
#[derive(Debug, Default)]
pub(super) struct Interest {
    all: Vec<usize>,
    partitions: HashMap<u32, Vec<usize>>,
    subjects: HashMap<Box<str>, Vec<usize>>,
    patterns: Vec<(Pattern, usize)>,
}

impl Interest {
    pub(super) fn add(&mut self, part: Part, consumer: usize) {
        match part {
            Part::All => self.all.push(consumer),
            Part::Partition(at) => self.partitions.entry(at).or_default().push(consumer),
            Part::Subject(at) => self.subjects.entry(at).or_default().push(consumer),
            Part::Pattern(at) => self.patterns.push((at, consumer)),
        }
    }

    pub(super) fn of<'a>(
        &'a self,
        subject: &'a str,
        partition: Option<u32>,
    ) -> impl Iterator<Item = usize> + 'a {
        let wild = self.patterns.iter().filter(|(at, _)| at.matches(subject));
        let partition = partition.and_then(|at| self.partitions.get(&at));
        // Only a stream with literal consumers pays for looking one up.
        let literal = (!self.subjects.is_empty())
            .then(|| self.subjects.get(subject))
            .flatten();
        self.all
            .iter()
            .chain(partition.into_iter().flatten())
            .chain(literal.into_iter().flatten())
            .chain(wild.map(|(_, consumer)| consumer))
            .copied()
    }
}

#[cfg(test)]
mod tests {
    use super::{Interest, Part};

    #[test]
    fn the_index_agrees_with_asking_each_part() {
        let subjects = ["a.>".to_owned()];
        let parts = [
            Part::of("a.>", &subjects),
            Part::of("a.b", &subjects),
            Part::of("a.*", &subjects),
            Part::Partition(1),
            Part::Partition(2),
        ];
        let mut interest = Interest::default();
        for (number, part) in parts.iter().enumerate() {
            interest.add(part.clone(), number);
        }
        for (subject, partition) in [("a.b", None), ("a.c", Some(1)), ("a.b.c", Some(2))] {
            let mut found: Vec<_> = interest.of(subject, partition).collect();
            found.sort_unstable();
            let asked: Vec<_> = (0..parts.len())
                .filter(|number| parts[*number].has(subject, partition))
                .collect();
            assert_eq!(found, asked, "{subject}");
        }
    }
}
