use crate::time::Clock;
use std::{cell::RefCell, fmt};
use uuid::{Builder, Uuid};

/// How many bytes an id may have, and what else identifies a message or a trace.
pub(crate) const LONGEST_ID: usize = 256;

/// The identity of one message, unique and stable over every retry.
///
/// New facts get a time-ordered id (UUID version 7). What follows from another
/// message gets an id computed from its cause (UUID version 5), so that doing
/// the work twice yields the same id, and the stream keeps one. Ids of other
/// systems are kept as they came.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(Repr);

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Repr {
    Uuid(Uuid),
    Foreign(Box<str>),
}

impl Id {
    /// Returns a new id for a new fact (UUID version 7).
    #[expect(
        clippy::new_without_default,
        reason = "two defaults would not be equal"
    )]
    pub fn new() -> Self {
        let ms = Clock::system().unix_ms();
        Self(Repr::Uuid(FRESH.with_borrow_mut(|fresh| fresh.next(ms))))
    }

    /// Returns the id of the `index`-th thing that `by` makes of the message
    /// `self` (UUID version 5).
    ///
    /// `by` names the maker, so that two actors that hear the same message do
    /// not produce the same ids.
    #[must_use]
    pub fn derived(&self, by: &str, index: u32) -> Self {
        let name = format!("{by}/{index}");
        Self(Repr::Uuid(Uuid::new_v5(&self.space(), name.as_bytes())))
    }

    /// Returns the id of what `by` makes of the message `self` for one key, as
    /// [`derived`](Self::derived) does for the first thing it makes.
    pub(crate) fn derived_for(&self, by: &str, key: &str) -> Self {
        let name = format!("{by}/{key}/0");
        Self(Repr::Uuid(Uuid::new_v5(&self.space(), name.as_bytes())))
    }

    /// Returns the id of a message of another system, which tells its messages
    /// apart only together with their source.
    pub(crate) fn of_source(source: &str, id: &str) -> Self {
        let name = format!("{source}\n{id}");
        Self(Repr::Uuid(Uuid::new_v5(
            &Uuid::NAMESPACE_URL,
            name.as_bytes(),
        )))
    }

    /// Returns 128 bits that tell it from other ids, the same in every process.
    pub(crate) fn mark(&self) -> u128 {
        self.space().as_u128()
    }

    /// Returns how many bytes it takes as text.
    pub(crate) const fn text_len(&self) -> usize {
        match &self.0 {
            Repr::Uuid(_) => uuid::fmt::Hyphenated::LENGTH,
            Repr::Foreign(text) => text.len(),
        }
    }

    /// Returns it as a UUID; nothing if it is another system's.
    pub const fn as_uuid(&self) -> Option<Uuid> {
        match &self.0 {
            Repr::Uuid(uuid) => Some(*uuid),
            Repr::Foreign(_) => None,
        }
    }

    fn space(&self) -> Uuid {
        match &self.0 {
            Repr::Uuid(uuid) => *uuid,
            Repr::Foreign(text) => Uuid::new_v5(&Uuid::NAMESPACE_URL, text.as_bytes()),
        }
    }
}

thread_local! {
    static FRESH: RefCell<Fresh> = RefCell::new(Fresh::seeded());
}

/// Where a thread takes its new ids from: the time, a counter that begins
/// anywhere in each millisecond, and noise.
///
/// Every message needs one, and asking the system for each was dear.
struct Fresh {
    ms: u64,
    count: u64,
    noise: fastrand::Rng,
    /// Keeps apart threads whose noise is the same.
    mask: u32,
}

impl Fresh {
    fn seeded() -> Self {
        // What is random in these is: 73 bits each.
        let (seed, mask) = (Uuid::now_v7().as_u64_pair(), Uuid::now_v7().as_u64_pair());
        Self {
            ms: 0,
            count: 0,
            noise: fastrand::Rng::with_seed(seed.1 ^ seed.0.rotate_right(12)),
            mask: low(mask.1),
        }
    }

    fn next(&mut self, ms: u64) -> Uuid {
        if ms == self.ms {
            self.count += 1;
        } else {
            // Half of its 42 bits, so that it does not run over.
            (self.ms, self.count) = (ms, self.noise.u64(..1 << 41));
        }
        let noise = u64::from(self.noise.u32(..) ^ self.mask);
        let high = (self.count >> 30).to_be_bytes();
        let rest = ((self.count & 0x3FFF_FFFF) << 32 | noise).to_be_bytes();
        let mut bytes = [0; 10];
        bytes[..2].copy_from_slice(&high[6..]);
        bytes[2..].copy_from_slice(&rest);
        Builder::from_unix_timestamp_millis(ms, &bytes).into_uuid()
    }
}

#[expect(clippy::cast_possible_truncation, reason = "half of it is wanted")]
const fn low(bits: u64) -> u32 {
    bits as u32
}

impl From<Uuid> for Id {
    fn from(uuid: Uuid) -> Self {
        Self(Repr::Uuid(uuid))
    }
}

impl From<&str> for Id {
    fn from(text: &str) -> Self {
        // Only the canonical form is stored as a UUID, so that an id always
        // reads back as the text it came from.
        match Uuid::try_parse(text) {
            Ok(uuid) if uuid.hyphenated().encode_lower(&mut Uuid::encode_buffer()) == text => {
                Self(Repr::Uuid(uuid))
            }
            _ => Self(Repr::Foreign(text.into())),
        }
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Repr::Uuid(uuid) => uuid.hyphenated().fmt(f),
            Repr::Foreign(text) => f.write_str(text),
        }
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::{Fresh, Id};

    #[test]
    fn an_id_reads_back_as_the_text_it_came_from() {
        for text in [
            "0198c5b6-6f3e-7c30-8a3e-2f1d5b7c9e01",
            "0198C5B6-6F3E-7C30-8A3E-2F1D5B7C9E01",
            "order 7",
        ] {
            assert_eq!(Id::from(text).to_string(), text);
        }
    }

    #[test]
    fn new_ids_of_a_thread_are_of_version_7_differ_and_are_in_order() {
        let mut fresh = Fresh::seeded();
        let ids: Vec<_> = (0..10_000).map(|at| fresh.next(7_000 + at / 100)).collect();
        assert!(ids.is_sorted_by(|one, next| one < next));
        assert_eq!(ids[0].get_version_num(), 7);
        assert_eq!(ids[0].get_variant(), uuid::Variant::RFC4122);
        let (seconds, nanos) = ids[150].get_timestamp().map_or((0, 0), |at| at.to_unix());
        assert_eq!((seconds, nanos), (7, 1_000_000));
    }

    #[test]
    fn derived_ids_depend_on_cause_maker_and_index_only() {
        let cause = Id::new();
        assert_eq!(cause.derived("till", 0), cause.derived("till", 0));
        assert_ne!(cause.derived("till", 0), cause.derived("till", 1));
        assert_ne!(cause.derived("till", 0), cause.derived("desk", 0));
        assert_ne!(cause.derived("till", 0), Id::new().derived("till", 0));
        assert_ne!(
            Id::from("a").derived("till", 0),
            Id::from("b").derived("till", 0)
        );
    }
}
