use crate::bus;

/// A filter that is compared often: most subjects fail on its literal front.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    filter: Box<str>,
    literal: usize,
}

impl Pattern {
    pub(super) fn new(filter: &str) -> Self {
        let literal = filter.find(['*', '>']).unwrap_or(filter.len());
        Self { filter: filter.into(), literal }
    }

    pub(super) fn as_str(&self) -> &str {
        &self.filter
    }

    pub(super) fn matches(&self, subject: &str) -> bool {
        let front = &self.filter.as_bytes()[..self.literal];
        subject.as_bytes().starts_with(front) && bus::matches(&self.filter, subject)
    }
}

#[cfg(test)]
mod tests {
    use super::Pattern;

    #[test]
    fn a_pattern_decides_as_its_filter_does() {
        for (filter, subject, expected) in [
            ("a.b", "a.b", true),
            ("a.b", "a.bc", false),
            ("a.*", "a.b", true),
            ("a.*", "ab.c", false),
            ("a.>", "a", false),
            (">", "a.b", true),
        ] {
            assert_eq!(
                Pattern::new(filter).matches(subject),
                expected,
                "{filter} {subject}"
            );
        }
    }
}
