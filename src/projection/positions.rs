use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How far a model has got in the stream of each domain: the sequence of the
/// last message that it took in.
///
/// # Examples
///
/// ```
/// use callboard::projection::Positions;
///
/// let positions: Positions = [("orders".to_owned(), 12)].into_iter().collect();
/// assert_eq!(positions.of("orders"), 12);
/// assert_eq!(positions.of("users"), 0);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Positions(BTreeMap<String, u64>);

impl Positions {
    /// Returns the position in the stream of a domain; 0 before its first message.
    pub fn of(&self, domain: &str) -> u64 {
        self.0.get(domain).copied().unwrap_or_default()
    }

    /// Returns all positions, by domain.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.0
            .iter()
            .map(|(domain, sequence)| (domain.as_str(), *sequence))
    }

    pub(super) fn set(&mut self, domain: &str, sequence: u64) {
        match self.0.get_mut(domain) {
            Some(there) => *there = sequence,
            None => drop(self.0.insert(domain.to_owned(), sequence)),
        }
    }

    /// Whether it is in no stream behind another.
    pub(super) fn covers(&self, other: &Self) -> bool {
        other
            .iter()
            .all(|(domain, sequence)| self.of(domain) >= sequence)
    }
}

impl FromIterator<(String, u64)> for Positions {
    fn from_iter<I: IntoIterator<Item = (String, u64)>>(positions: I) -> Self {
        Self(positions.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::Positions;

    #[test]
    fn positions_are_compared_stream_by_stream() {
        let at = |orders, users| -> Positions {
            [("orders".to_owned(), orders), ("users".to_owned(), users)]
                .into_iter()
                .collect()
        };
        assert!(at(2, 2).covers(&at(2, 1)));
        assert!(!at(9, 1).covers(&at(2, 2)));
        assert!(at(1, 0).covers(&Positions::default()));
        assert!(!Positions::default().covers(&at(1, 0)));
    }
}
