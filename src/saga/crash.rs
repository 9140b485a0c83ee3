use crate::call::Record;

/// A place in the writing of journals at which a node's runners stop short, for tests.
///
/// There is one before and one after each write. The visit ends there as if its
/// process had died: nothing more is written, and nothing is acknowledged.
///
/// # Examples
///
/// ```
/// use callboard::{Bus, Node, saga::CrashPoint};
///
/// let point = CrashPoint::at(3);
/// let node = Node::new("dies", Bus::embedded()).crash_at(&point);
/// assert!(!point.is_passed());
/// # drop(node);
/// ```
#[derive(Clone, Debug)]
pub struct CrashPoint {
    record: Record,
    place: u64,
}

impl CrashPoint {
    /// Names the place by its number, from 1; at 0 nothing stops short.
    pub fn at(place: u64) -> Self {
        let record = Record::default();
        record.crash_at(place);
        Self { record, place }
    }

    /// Returns how many places were passed.
    pub fn places(&self) -> u64 {
        self.record.places()
    }

    /// Whether the runner stopped short.
    pub fn is_passed(&self) -> bool {
        self.place > 0 && self.places() >= self.place
    }

    pub(crate) fn record(&self) -> Record {
        self.record.clone()
    }
}
