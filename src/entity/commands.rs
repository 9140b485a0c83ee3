use crate::message::Id;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::{
    collections::{HashMap, VecDeque},
    hash::{BuildHasherDefault, Hasher},
};
use uuid::Uuid;

/// How many commands an entity remembers, however old they are.
pub(super) const REMEMBERED: usize = 1_000;

/// For how many seconds an entity remembers a command, however many came since.
pub(super) const REMEMBERED_FOR: u32 = 15 * 60;

/// How many commands an entity remembers at most.
const MOST: usize = 20_000;

/// From how many commands on there is an index: going through fewer is faster.
const INDEXED_FROM: usize = 64;

/// The last commands that changed an entity, and where each did, oldest first.
#[derive(Debug, Default)]
pub(super) struct Commands {
    known: VecDeque<Known>,
    /// Where each command was committed, once there are many.
    index: Option<HashMap<u128, u64, AsItIs>>,
}

/// One command: its id, as a fixed number of bits.
#[derive(Clone, Copy, Debug)]
struct Known {
    mark: u128,
    sequence: u64,
    /// When, in seconds since 1970.
    at: u32,
}

/// A remembered command as a snapshot keeps it: its id, and its sequence.
pub(super) type Kept = (KeptId, u64);

#[derive(Debug, Serialize, Deserialize)]
pub(super) enum KeptId {
    #[serde(rename = "u")]
    Uuid(Bytes),
    /// As snapshots of earlier versions have it.
    #[serde(rename = "t")]
    Text(String),
}

impl Commands {
    /// Returns the sequence at which a command was committed, if it was.
    pub(super) fn committed(&self, mark: u128) -> Option<u64> {
        if let Some(index) = &self.index {
            return index.get(&mark).copied();
        }
        let known = self.known.iter().find(|known| known.mark == mark);
        known.map(|known| known.sequence)
    }

    /// Notes that a command was committed at a time in seconds, and forgets what
    /// is beyond the limits then.
    pub(super) fn note(&mut self, mark: u128, sequence: u64, at: u32) {
        // The events of one commit follow each other.
        if self.known.back().is_some_and(|last| last.mark == mark) {
            return;
        }
        self.known.push_back(Known { mark, sequence, at });
        if let Some(index) = &mut self.index {
            index.insert(mark, sequence);
        } else if self.known.len() > INDEXED_FROM {
            let all = self.known.iter();
            self.index = Some(all.map(|known| (known.mark, known.sequence)).collect());
        }
        self.forget_before(at.saturating_sub(REMEMBERED_FOR));
    }

    /// Forgets what is older than a time and beyond the last thousand.
    fn forget_before(&mut self, since: u32) {
        while self.known.len() > MOST
            || self.known.len() > REMEMBERED
                && self.known.front().is_some_and(|first| first.at < since)
        {
            let Some(first) = self.known.pop_front() else {
                return;
            };
            if let Some(index) = &mut self.index
                && index.get(&first.mark) == Some(&first.sequence)
            {
                index.remove(&first.mark);
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    /// Returns the sequence of the oldest command that is remembered.
    pub(super) fn oldest(&self) -> Option<u64> {
        self.known.front().map(|first| first.sequence)
    }

    /// Returns when the last command was committed, in seconds.
    pub(super) fn newest(&self) -> Option<u32> {
        self.known.back().map(|last| last.at)
    }

    /// Notes commands that came before all that it knows.
    pub(super) fn begin_with(&mut self, before: &[(u128, u64, u32)]) {
        if before.is_empty() {
            return;
        }
        let first = self.oldest().unwrap_or(u64::MAX);
        let known = std::mem::take(self).known;
        for &(mark, sequence, at) in before {
            if sequence < first {
                self.note(mark, sequence, at);
            }
        }
        for Known { mark, sequence, at } in known {
            self.note(mark, sequence, at);
        }
    }

    /// Returns the last thousand as a snapshot keeps them, and their times.
    pub(super) fn keep(&self) -> (Vec<Kept>, Vec<u32>) {
        let first = self.known.len().saturating_sub(REMEMBERED);
        let last = self.known.range(first..);
        last.map(|known| {
            let id = Bytes::copy_from_slice(&known.mark.to_be_bytes());
            ((KeptId::Uuid(id), known.sequence), known.at)
        })
        .unzip()
    }

    /// Takes up what a snapshot keeps; earlier versions kept no times.
    pub(super) fn restored(kept: Vec<Kept>, times: &[u32]) -> Option<Self> {
        let mut commands = Self::default();
        let times = times.iter().copied().chain(std::iter::repeat(0));
        for ((id, sequence), at) in kept.into_iter().zip(times) {
            commands.note(id.mark()?, sequence, at);
        }
        Some(commands)
    }
}

impl KeptId {
    fn mark(&self) -> Option<u128> {
        match self {
            Self::Uuid(bytes) => Uuid::from_slice(bytes).ok().map(|uuid| uuid.as_u128()),
            Self::Text(text) => Some(Id::from(text.as_str()).mark()),
        }
    }
}

/// How many refusals an entity remembers.
const REFUSALS: usize = 1_000;

/// How many bytes the refusals that an entity remembers may take.
const REFUSAL_BYTES: usize = 64 * 1024;

/// The last commands of a named id that an entity said no to, with its words.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    order: VecDeque<u128>,
    words: HashMap<u128, Bytes, AsItIs>,
    bytes: usize,
}

impl Refusals {
    /// Returns what was said to a command, encoded, if it was a no.
    pub(super) fn said(&self, mark: u128) -> Option<&Bytes> {
        self.words.get(&mark)
    }

    /// Notes what was said to a command, and forgets the oldest beyond the limits.
    pub(super) fn note(&mut self, mark: u128, words: Bytes) {
        if words.len() > REFUSAL_BYTES || self.words.contains_key(&mark) {
            return;
        }
        self.bytes += words.len();
        self.order.push_back(mark);
        self.words.insert(mark, words);
        while self.order.len() > REFUSALS || self.bytes > REFUSAL_BYTES {
            let Some(oldest) = self.order.pop_front() else {
                return;
            };
            if let Some(words) = self.words.remove(&oldest) {
                self.bytes -= words.len();
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        self.order.len()
    }

    /// Returns all, oldest first, as a snapshot keeps them.
    pub(super) fn keep(&self) -> Vec<(Bytes, Bytes)> {
        let all = self.order.iter();
        all.filter_map(|mark| {
            let id = Bytes::copy_from_slice(&mark.to_be_bytes());
            Some((id, self.words.get(mark)?.clone()))
        })
        .collect()
    }

    pub(super) fn restored(kept: Vec<(Bytes, Bytes)>) -> Option<Self> {
        let mut refusals = Self::default();
        for (id, words) in kept {
            refusals.note(Uuid::from_slice(&id).ok()?.as_u128(), words);
        }
        Some(refusals)
    }
}

/// Hashes what is as good as a hash already.
#[derive(Debug, Default)]
pub(super) struct Plain(u64);

type AsItIs = BuildHasherDefault<Plain>;

impl Hasher for Plain {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u128(&mut self, mark: u128) {
        let (high, low) = Uuid::from_u128(mark).as_u64_pair();
        // Ids of one moment differ in their lower half, foreign ones in both.
        self.0 = high.rotate_left(32) ^ low.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(n: usize) -> u128 {
        Id::from(format!("order {n}").as_str()).mark()
    }

    #[test]
    fn the_last_thousand_commands_are_known_and_survive_being_kept() {
        let mut commands = Commands::default();
        for (n, sequence) in (0..REMEMBERED + 2).zip(1..) {
            commands.note(
                mark(n),
                sequence,
                u32::try_from(n).unwrap_or_default() * REMEMBERED_FOR,
            );
        }
        let (kept, times) = commands.keep();
        let again = Commands::restored(kept, &times).unwrap_or_default();
        for known in [&commands, &again] {
            assert_eq!(known.committed(mark(1)), None);
            assert_eq!(known.committed(mark(2)), Some(3));
            assert_eq!(
                known.committed(mark(REMEMBERED + 1)),
                Some(REMEMBERED as u64 + 2)
            );
        }
    }

    #[test]
    fn all_commands_of_a_quarter_of_an_hour_are_known_up_to_a_bound() {
        let mut commands = Commands::default();
        for (n, sequence) in (0..5_000).zip(1..) {
            commands.note(mark(n), sequence, 1_000);
        }
        assert_eq!(
            (commands.len(), commands.committed(mark(0))),
            (5_000, Some(1))
        );
        commands.note(mark(5_000), 5_001, 1_000 + REMEMBERED_FOR);
        assert_eq!(commands.len(), 5_001, "not a second too early");
        commands.note(mark(5_001), 5_002, 1_001 + REMEMBERED_FOR);
        assert_eq!(commands.len(), REMEMBERED);
        assert_eq!(commands.oldest(), Some(4_003));
        for (n, sequence) in (10_000..40_000).zip(10_000..) {
            commands.note(mark(n), sequence, 2_000);
        }
        assert_eq!(commands.len(), MOST);
        assert_eq!(commands.committed(mark(20_000)), Some(20_000));
        assert_eq!(commands.committed(mark(19_999)), None);
    }

    #[test]
    fn a_snapshot_of_an_earlier_version_is_read() {
        let kept = vec![
            (KeptId::Text("order 7".to_owned()), 3),
            (KeptId::Uuid(Bytes::copy_from_slice(&[7; 16])), 4),
        ];
        let known = Commands::restored(kept, &[]).unwrap_or_default();
        assert_eq!(known.committed(mark(7)), Some(3));
        assert_eq!(known.committed(u128::from_be_bytes([7; 16])), Some(4));
    }

    #[test]
    fn refusals_are_known_within_their_bounds() {
        let mut refusals = Refusals::default();
        for n in 0..=REFUSALS {
            refusals.note(mark(n), Bytes::from_static(b"no"));
        }
        let again = Refusals::restored(refusals.keep()).unwrap_or_default();
        for known in [&refusals, &again] {
            assert_eq!(known.said(mark(0)), None);
            assert_eq!(known.said(mark(1)), Some(&Bytes::from_static(b"no")));
        }
        refusals.note(mark(5_000), vec![0; REFUSAL_BYTES].into());
        assert_eq!(refusals.len(), 1, "large ones push the others out");
        refusals.note(mark(5_001), vec![0; REFUSAL_BYTES + 1].into());
        assert_eq!(refusals.said(mark(5_001)), None);
    }
}
