//! Clocks of nodes, compared: presence bears it that they differ, deadlines do not.

use super::{Mesh, card::lock};
use crate::telemetry::CLOCKS_OFF_TOTAL;
use std::collections::BTreeMap;

/// By how many milliseconds clocks may differ without a word.
const FINE: i64 = 2_000;

/// When a word has come, by this node's clock: after one time, and before another.
#[derive(Clone, Copy, Debug)]
pub(super) struct Came {
    pub(super) after_ms: u64,
    pub(super) before_ms: u64,
}

/// How far the clocks of other nodes are from this one's, of those that are not fine.
#[derive(Debug, Default)]
pub(super) struct Clocks(BTreeMap<String, Seen>);

#[derive(Debug, Default)]
struct Seen {
    /// By how much it is ahead; 0 if it is fine.
    off_ms: i64,
    /// Whether its last word looked as if it was behind.
    is_doubted: bool,
    is_told: bool,
}

impl Clocks {
    /// Hears what time a node said that it is. What comes from the future is said by
    /// a clock that is ahead. What comes from the past may have been held up, so a
    /// clock is behind only if the next word says so too.
    fn hear(&mut self, instance: &str, said_ms: u64, came: Came) {
        let off_ms = off(said_ms, came);
        if off_ms == 0 {
            return self.note(instance, 0);
        }
        let seen = self.0.entry(instance.to_owned()).or_default();
        let is_sure = off_ms > 0 || seen.is_doubted;
        seen.is_doubted = off_ms < 0;
        if is_sure {
            seen.off_ms = off_ms;
        }
    }

    /// Notes how far a node's clock is ahead.
    fn note(&mut self, instance: &str, off_ms: i64) {
        if off_ms.unsigned_abs() > FINE.unsigned_abs() {
            self.0.entry(instance.to_owned()).or_default().off_ms = off_ms;
        } else if let Some(seen) = self.0.get_mut(instance) {
            (seen.off_ms, seen.is_doubted) = (0, false);
        }
    }

    /// Returns how far a node's clock is ahead, if it is not fine.
    fn off(&self, instance: &str) -> Option<i64> {
        let seen = self.0.get(instance)?;
        (seen.off_ms != 0).then_some(seen.off_ms)
    }

    /// Returns the same, the first time that it is asked for.
    fn news(&mut self, instance: &str) -> Option<i64> {
        let seen = self.0.get_mut(instance)?;
        let is_news = seen.off_ms != 0 && !std::mem::replace(&mut seen.is_told, seen.off_ms != 0);
        is_news.then_some(seen.off_ms)
    }
}

/// Returns by how much more than the time under way a clock is ahead; 0 if it is fine.
fn off(said_ms: u64, came: Came) -> i64 {
    let ahead = signed(said_ms).saturating_sub(signed(came.before_ms));
    let behind = signed(said_ms).saturating_sub(signed(came.after_ms));
    match (ahead > FINE, behind < -FINE) {
        (true, _) => ahead,
        (_, true) => behind,
        _ => 0,
    }
}

fn signed(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX)
}

impl Mesh {
    /// Hears what time it is by the clock of a node that is known.
    pub(super) fn hear_clock(&self, instance: &str, said_ms: u64, came: Came) {
        if instance == &**self.instance() || !self.0.ways.roster.knows(instance, 0) {
            return;
        }
        lock(&self.0.clocks).hear(instance, said_ms, came);
        self.tell_clock(instance);
    }

    /// Hears of another how far a node's clock is from that one's.
    pub(super) fn hear_clock_of(&self, instance: &str, by: &str, off_ms: Option<i64>) {
        if instance == &**self.instance() || !self.0.ways.roster.knows(instance, 0) {
            return;
        }
        let mut clocks = lock(&self.0.clocks);
        match (off_ms, clocks.off(by)) {
            // It may be as far off as who tells it; or nobody has compared them.
            (None, Some(_)) => {}
            (off_ms, base) => {
                let base = base.unwrap_or(0);
                clocks.note(instance, off_ms.unwrap_or(0).saturating_add(base));
            }
        }
        drop(clocks);
        self.tell_clock(instance);
    }

    /// Returns by how many milliseconds a node's clock is ahead, if it is not fine.
    pub(super) fn clock_off(&self, instance: &str) -> Option<i64> {
        lock(&self.0.clocks).off(instance)
    }

    /// Forgets the clocks of nodes that are gone.
    pub(super) fn forget_clocks(&self) {
        let roster = &self.0.ways.roster;
        lock(&self.0.clocks)
            .0
            .retain(|instance, _| roster.knows(instance, 0));
    }

    /// Says it once of each instance.
    fn tell_clock(&self, instance: &str) {
        let Some(off_ms) = lock(&self.0.clocks).news(instance) else {
            return;
        };
        metrics::counter!(CLOCKS_OFF_TOTAL).increment(1);
        let card = self.0.ways.roster.card(instance);
        let node = card.as_ref().map_or(instance, |card| &card.node);
        let way = if off_ms > 0 { "ahead" } else { "behind" };
        tracing::warn!(
            node,
            instance,
            off_ms,
            "its clock is {way} of this node's: deadlines pass too early or too late, and calls \
             between the two end with 408; set both by a time server"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Between two looks, a second apart.
    const CAME: Came = Came { after_ms: 100_000, before_ms: 101_000 };

    #[test]
    fn a_word_may_have_come_at_any_time_between_two_looks() {
        for (said, found) in [
            (100_500, 0),
            (98_000, 0),
            (103_000, 0),
            (97_999, -2_001),
            (103_001, 2_001),
            (111_000, 10_000),
        ] {
            assert_eq!(off(said, CAME), found, "{said}");
        }
        assert!(off(u64::MAX, CAME) > 0 && off(0, CAME) < 0);
    }

    #[test]
    fn a_clock_may_be_said_to_be_off_by_any_number() {
        let mut clocks = Clocks::default();
        for off_ms in [i64::MIN, i64::MAX] {
            clocks.note("a-1", off_ms);
            assert_eq!(clocks.off("a-1"), Some(off_ms));
        }
    }

    #[test]
    fn a_clock_that_is_ahead_is_told_once() {
        let mut clocks = Clocks::default();
        clocks.hear("a-1", 111_000, CAME);
        assert_eq!(clocks.news("a-1"), Some(10_000));
        clocks.hear("a-1", 112_000, CAME);
        assert_eq!(
            (clocks.off("a-1"), clocks.news("a-1")),
            (Some(11_000), None)
        );
        clocks.hear("a-1", 101_000, CAME);
        assert_eq!(clocks.off("a-1"), None);
        assert_eq!((clocks.off("b-1"), clocks.news("b-1")), (None, None));
    }

    #[test]
    fn a_word_that_was_held_up_is_no_clock_that_is_behind() {
        let mut clocks = Clocks::default();
        clocks.hear("a-1", 90_000, CAME);
        assert_eq!((clocks.off("a-1"), clocks.news("a-1")), (None, None));
        clocks.hear("a-1", 100_500, CAME);
        clocks.hear("a-1", 90_000, CAME);
        assert_eq!(clocks.off("a-1"), None);
        clocks.hear("a-1", 90_000, CAME);
        assert_eq!(clocks.news("a-1"), Some(-10_000));
    }
}
