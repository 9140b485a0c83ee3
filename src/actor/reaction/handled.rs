use std::{collections::VecDeque, time::SystemTime};

/// How many words of 64 sequences are remembered: a million sequences, 128 KiB.
const WORDS: usize = 1 << 14;

/// The latest events that were acknowledged, one bit each: an acknowledgement
/// may get lost, and then the event comes again after newer ones of its key.
#[derive(Debug, Default)]
pub(super) struct Handled {
    /// The word of the first bit.
    base: u64,
    words: VecDeque<u64>,
    /// When the newest of them was stored.
    newest: Option<SystemTime>,
}

impl Handled {
    /// Notes an event that was acknowledged, and when it was stored.
    pub(super) fn note(&mut self, sequence: u64, stored: SystemTime) {
        self.newest = self.newest.max(Some(stored));
        let word = sequence / 64;
        if self.words.is_empty() || word >= self.base + (2 * WORDS) as u64 {
            self.words.clear();
            self.base = word;
        }
        while word < self.base && self.words.len() < WORDS {
            self.words.push_front(0);
            self.base -= 1;
        }
        while word >= self.base + self.words.len() as u64 {
            self.words.push_back(0);
        }
        while self.words.len() > WORDS {
            self.words.pop_front();
            self.base += 1;
        }
        if let Some(bits) = self.bits(word) {
            *bits |= 1 << (sequence % 64);
        }
    }

    /// Whether an event was acknowledged, as far as that is remembered. One that was
    /// stored after all of them is another, of a stream that was made anew.
    pub(super) fn knows(&mut self, sequence: u64, stored: SystemTime) -> bool {
        self.newest >= Some(stored) && self.has(sequence)
    }

    /// Whether an event of this sequence was acknowledged.
    pub(super) fn has(&mut self, sequence: u64) -> bool {
        let bits = self.bits(sequence / 64).map_or(0, |bits| *bits);
        bits & (1 << (sequence % 64)) != 0
    }

    fn bits(&mut self, word: u64) -> Option<&mut u64> {
        let at = usize::try_from(word.checked_sub(self.base)?).ok()?;
        self.words.get_mut(at)
    }
}

#[cfg(test)]
mod tests {
    use super::{Handled, WORDS};
    use std::time::{Duration, SystemTime};

    const START: SystemTime = SystemTime::UNIX_EPOCH;

    #[test]
    fn what_was_noted_is_known_in_whatever_order_it_came() {
        let mut handled = Handled::default();
        let noted = [1_000, 3, 70, 1_001, 999_999];
        for sequence in noted {
            handled.note(sequence, START);
        }
        assert!(noted.iter().all(|&sequence| handled.has(sequence)));
        assert!(![2, 4, 1_002, 5_000_000].iter().any(|&n| handled.has(n)));
    }

    #[test]
    fn what_was_stored_later_is_another_of_the_same_sequence() {
        let mut handled = Handled::default();
        assert!(!handled.knows(1, START));
        handled.note(1, START);
        handled.note(2, START + Duration::from_secs(2));
        assert!(handled.knows(1, START) && handled.knows(1, START + Duration::from_secs(1)));
        assert!(!handled.knows(1, START + Duration::from_secs(3)));
        assert!(!handled.knows(3, START));
    }

    #[test]
    fn the_oldest_are_forgotten() {
        let mut handled = Handled::default();
        let end = 3 * 64 * WORDS as u64;
        (1..end).step_by(63).for_each(|n| handled.note(n, START));
        assert_eq!(handled.words.len(), WORDS);
        assert!(!handled.has(1));
        handled.note(1, START);
        assert!(
            !handled.has(1),
            "what is older than all that is known stays unknown"
        );
        handled.note(100 * end, START);
        assert_eq!((handled.words.len(), handled.has(100 * end)), (1, true));
    }
}
