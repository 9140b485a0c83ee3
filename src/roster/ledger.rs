//! Who is there, decided from what was heard and when: no clock, no bus.

use super::{Card, card::Pulse};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};
use tokio::time::Instant;

/// How many nodes are known at most.
pub(super) const LIMIT: usize = 10_000;
/// How many that have ended are remembered, so that a late word does not bring one back.
const REMEMBERED: usize = 1_024;
/// The least and the most silence that a node may ask for.
const TTL_MS: std::ops::RangeInclusive<u64> = 300..=3_600_000;
/// For how long after a word of leaving signs of life may still be under way: what is
/// heard later is of a node that lives, whoever said that it left.
const LATE: Duration = Duration::from_secs(5);
/// By how much a card may be ahead of the one that is known.
pub(crate) const JUMP: u64 = 1 << 32;
/// The same where none is known.
const FIRST: u64 = 1 << 48;

/// A sign of life: what a node says again and again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Beat {
    /// Whose.
    pub(crate) instance: String,
    /// Of its card.
    pub(crate) revision: u64,
    /// Of the routing table that it goes by.
    #[serde(default)]
    pub(crate) routes: u64,
    /// What tells it from another of that version.
    #[serde(default)]
    pub(crate) print: u64,
    /// The same of the table of policies.
    #[serde(default)]
    pub(crate) policies: (u64, u64),
    /// What time it was by its clock, in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) clock_ms: Option<u64>,
}

/// What became of a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// It says something new.
    News,
    /// It says what is known.
    Known,
    /// It is of somebody whose card is not known, or is older than this.
    Wanted,
    /// It is late: who said it has left, or said more since.
    Late,
    /// There is no room for more nodes.
    Full,
    /// No node says such a thing of itself: it asks for more silence than may be, or its
    /// number is far beyond those before.
    Refused,
}

/// What was heard of each node, and when, by this process's own clock.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    nodes: BTreeMap<String, Seen>,
    left: VecDeque<Left>,
    /// Who gave way to a namesake, and when.
    replaced: VecDeque<(String, Instant)>,
}

/// A node that is said to have left.
#[derive(Debug)]
struct Left {
    instance: String,
    at: Instant,
    /// Of the card that was known then.
    revision: u64,
}

#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) card: Arc<Card>,
    pub(super) pulse: Arc<Pulse>,
}

impl Ledger {
    /// Hears a card that was said at a time.
    ///
    /// A node of the same name that was heard of before is gone: it was started anew.
    /// If it is heard of again all the same, both are there: what was taken for the
    /// newer one may be the late word of an older one, or they may be two.
    pub(super) fn card(&mut self, card: Card, heard: Instant, own: &str) -> Heard {
        let known = self.nodes.get(&card.instance);
        let most = known.map_or(FIRST, |seen| seen.card.revision.saturating_add(JUMP));
        if card.ttl_ms > *TTL_MS.end() || card.revision > most {
            return Heard::Refused;
        }
        if let Some(seen) = self.nodes.get_mut(&card.instance) {
            seen.pulse.beat(heard);
            if seen.card.revision > card.revision {
                return Heard::Late;
            }
            if seen.card.revision == card.revision {
                return Heard::Known;
            }
            seen.card = Arc::new(card);
            return Heard::News;
        }
        if self.is_late(&card.instance, card.revision, heard) {
            return Heard::Late;
        }
        let was_replaced = self.replaced.iter().any(|(it, _)| *it == card.instance);
        if !was_replaced && !self.replace(&card.node, heard, own) {
            return Heard::Late;
        }
        if self.nodes.len() >= LIMIT {
            return Heard::Full;
        }
        self.replaced.retain(|(it, _)| *it != card.instance);
        self.left.retain(|left| left.instance != card.instance);
        let instance = card.instance.clone();
        let pulse = Pulse::new(heard);
        self.nodes
            .insert(instance, Seen { card: Arc::new(card), pulse });
        Heard::News
    }

    /// Has those of a name give way to one that was heard of at a time, but for one's
    /// own; returns false if one of them was heard of later.
    fn replace(&mut self, name: &str, heard: Instant, own: &str) -> bool {
        let old: Vec<_> = self
            .nodes
            .values()
            .filter(|seen| seen.card.node == name)
            .map(|seen| (seen.card.instance.clone(), seen.pulse.last()))
            .collect();
        if old.iter().any(|(_, last)| *last > heard) {
            return false;
        }
        for (instance, _) in old.into_iter().filter(|(instance, _)| instance != own) {
            self.nodes.remove(&instance);
            remember(&mut self.replaced, (instance, heard));
        }
        true
    }

    /// Whether a word of a node that is not known is older than its end. A node that has
    /// left says nothing more: a card with more than it said before, or a word long after,
    /// is of one that somebody else said has left.
    fn is_late(&self, instance: &str, revision: u64, heard: Instant) -> bool {
        let mut replaced = self.replaced.iter();
        let mut left = self.left.iter();
        let lives = |left: &Left| {
            let says_more = revision > left.revision && heard > left.at;
            says_more || heard.saturating_duration_since(left.at) > LATE
        };
        left.any(|left| left.instance == instance && !lives(left))
            || replaced.any(|(it, since)| it == instance && *since >= heard)
    }

    /// Hears that a node lived at a time, with a card of this revision.
    pub(super) fn beat(&self, instance: &str, revision: u64, heard: Instant) -> Heard {
        match self.nodes.get(instance) {
            Some(seen) => {
                seen.pulse.beat(heard);
                if seen.card.revision < revision {
                    Heard::Wanted
                } else {
                    Heard::Known
                }
            }
            None if self.is_late(instance, 0, heard) => Heard::Late,
            None => Heard::Wanted,
        }
    }

    /// Returns how many nodes there are, and how many have names before this one's,
    /// of which no more than so many are counted.
    pub(super) fn place(&self, instance: &str, most: usize) -> (usize, usize) {
        let before = self.nodes.keys().take(most);
        let before = before.take_while(|other| other.as_str() < instance);
        (self.nodes.len(), before.count())
    }

    /// Hears at a time that a node has left; returns its card if it was known.
    pub(super) fn leave(&mut self, instance: &str, at: Instant) -> Option<Arc<Card>> {
        let seen = self.nodes.remove(instance);
        if !self.left.iter().any(|left| left.instance == instance) {
            let revision = seen.as_ref().map_or(u64::MAX, |seen| seen.card.revision);
            let left = Left { instance: instance.to_owned(), at, revision };
            remember(&mut self.left, left);
        }
        seen.map(|seen| seen.card)
    }

    /// Forgets those that have been silent too long, but for one; they may come back.
    pub(super) fn expire(&mut self, now: Instant, own: &str) -> Vec<Arc<Card>> {
        let silent = |seen: &Seen| now.duration_since(seen.pulse.last()) >= ttl(&seen.card);
        let gone = self
            .nodes
            .extract_if(.., |name, seen| *name != *own && silent(seen));
        gone.map(|(_, seen)| seen.card).collect()
    }

    pub(super) fn get(&self, instance: &str) -> Option<&Seen> {
        self.nodes.get(instance)
    }

    /// Returns all of them in the order of their instances, from after one on.
    pub(super) fn after<'a>(&'a self, instance: &'a str) -> impl Iterator<Item = &'a Seen> {
        let behind = (
            std::ops::Bound::Excluded(instance),
            std::ops::Bound::Unbounded,
        );
        self.nodes.range::<str, _>(behind).map(|(_, seen)| seen)
    }
}

fn remember<T>(ends: &mut VecDeque<T>, end: T) {
    if ends.len() >= REMEMBERED {
        ends.pop_front();
    }
    ends.push_back(end);
}

fn ttl(card: &Card) -> Duration {
    Duration::from_millis(card.ttl_ms.clamp(*TTL_MS.start(), *TTL_MS.end()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_secs(1);

    fn card(node: &str, start: u64, revision: u64) -> Card {
        Card {
            instance: format!("{node}-{start}"),
            node: node.into(),
            region: String::new(),
            revision,
            ttl_ms: 1_000,
            services: Vec::new(),
        }
    }

    #[test]
    fn a_silent_node_is_gone_after_its_ttl_and_comes_back_with_its_card() {
        let (mut ledger, start) = (Ledger::default(), Instant::now());
        assert_eq!(ledger.card(card("a", 1, 1), start, ""), Heard::News);
        assert_eq!(ledger.beat("a-1", 1, start + TTL / 2), Heard::Known);
        assert!(ledger.expire(start + TTL, "").is_empty());
        assert_eq!(ledger.expire(start + TTL * 3 / 2, "").len(), 1);
        assert_eq!(ledger.beat("a-1", 1, start + TTL * 2), Heard::Wanted);
        assert_eq!(
            ledger.card(card("a", 1, 1), start + TTL * 2, ""),
            Heard::News
        );
    }

    #[test]
    fn a_process_never_forgets_itself() {
        let (mut ledger, start) = (Ledger::default(), Instant::now());
        ledger.card(card("a", 1, 1), start, "");
        assert!(ledger.expire(start + TTL * 9, "a-1").is_empty());
    }

    #[test]
    fn who_has_left_is_not_brought_back_by_a_late_word() {
        let (mut ledger, now) = (Ledger::default(), Instant::now());
        ledger.card(card("a", 1, 1), now, "");
        assert!(ledger.leave("a-1", now).is_some());
        assert_eq!(ledger.card(card("a", 1, 2), now, ""), Heard::Late);
        assert_eq!(ledger.beat("a-1", 2, now), Heard::Late);
        assert!(ledger.leave("a-1", now).is_none());
    }

    #[test]
    fn a_node_that_was_started_anew_takes_the_place_of_its_namesake() {
        let (mut ledger, now) = (Ledger::default(), Instant::now());
        ledger.card(card("a", 1, 7), now, "");
        assert_eq!(ledger.card(card("a", 2, 1), now + TTL / 2, ""), Heard::News);
        assert!(ledger.get("a-1").is_none() && ledger.get("a-2").is_some());
        // Somebody else's older memory does not turn that back.
        assert_eq!(ledger.card(card("a", 1, 7), now, ""), Heard::Late);
        assert_eq!(ledger.card(card("a", 0, 7), now, ""), Heard::Late);
    }

    #[test]
    fn a_node_that_gave_way_and_lives_is_there_again_beside_its_namesake() {
        let (mut ledger, now) = (Ledger::default(), Instant::now());
        // Its older self was killed, and the last it said comes late.
        ledger.card(card("a", 2, 1), now, "");
        assert_eq!(ledger.card(card("a", 1, 7), now + TTL, ""), Heard::News);
        assert_eq!(ledger.beat("a-2", 1, now + TTL), Heard::Late);
        assert_eq!(ledger.beat("a-2", 1, now + TTL * 3 / 2), Heard::Wanted);
        let back = ledger.card(card("a", 2, 1), now + TTL * 3 / 2, "");
        assert_eq!((back, ledger.nodes.len()), (Heard::News, 2));
        assert_eq!(ledger.expire(now + TTL * 2, "").len(), 1);
        assert!(ledger.get("a-2").is_some());
    }

    #[test]
    fn a_process_does_not_give_way_to_a_namesake() {
        let (mut ledger, now) = (Ledger::default(), Instant::now());
        ledger.card(card("a", 2, 1), now, "a-2");
        assert_eq!(ledger.card(card("a", 1, 7), now + TTL, "a-2"), Heard::News);
        assert!(ledger.get("a-2").is_some());
    }

    #[test]
    fn the_word_of_leaving_counts_also_if_it_comes_first() {
        let (mut ledger, now) = (Ledger::default(), Instant::now());
        assert!(ledger.leave("a-1", now).is_none());
        assert_eq!(ledger.beat("a-1", 1, now), Heard::Late);
        assert_eq!(ledger.card(card("a", 1, 1), now, ""), Heard::Late);
    }

    #[test]
    fn an_older_card_changes_nothing_and_a_newer_one_is_asked_for() {
        let (mut ledger, now) = (Ledger::default(), Instant::now());
        ledger.card(card("a", 1, 2), now, "");
        assert_eq!(ledger.card(card("a", 1, 1), now, ""), Heard::Late);
        assert_eq!(ledger.card(card("a", 1, 2), now, ""), Heard::Known);
        assert_eq!(ledger.beat("a-1", 3, now), Heard::Wanted);
        assert_eq!(ledger.card(card("a", 1, 3), now, ""), Heard::News);
    }

    #[test]
    fn a_node_that_others_said_has_left_is_there_again_by_what_it_says() {
        let (mut ledger, now) = (Ledger::default(), Instant::now());
        let soon = now + Duration::from_millis(1);
        ledger.card(card("a", 1, 3), now, "");
        ledger.leave("a-1", now);
        assert_eq!(ledger.card(card("a", 1, 3), soon, ""), Heard::Late);
        assert_eq!(ledger.beat("a-1", 4, soon), Heard::Late);
        assert_eq!(ledger.card(card("a", 1, 4), soon, ""), Heard::News);
        ledger.leave("a-1", now);
        assert_eq!(ledger.beat("a-1", 4, now + LATE), Heard::Late);
        let late = now + LATE + TTL;
        assert_eq!(ledger.beat("a-1", 4, late), Heard::Wanted);
        assert_eq!(ledger.card(card("a", 1, 4), late, ""), Heard::News);
    }

    #[test]
    fn a_card_that_no_node_would_say_of_itself_is_refused() {
        let (mut ledger, now) = (Ledger::default(), Instant::now());
        ledger.card(card("a", 1, 3), now, "");
        let far = |revision| card("a", 1, revision);
        assert_eq!(ledger.card(far(u64::MAX), now, ""), Heard::Refused);
        assert_eq!(ledger.card(far(3 + JUMP + 1), now, ""), Heard::Refused);
        assert_eq!(ledger.card(far(4), now, ""), Heard::News);
        let first = card("b", 1, u64::MAX);
        assert_eq!(ledger.card(first, now, ""), Heard::Refused);
        let silent = Card { ttl_ms: 3_600_001, ..card("c", 1, 1) };
        assert_eq!(ledger.card(silent, now, ""), Heard::Refused);
        assert_eq!(ledger.nodes.len(), 1);
    }

    #[test]
    fn the_book_is_bounded() {
        let (mut ledger, now) = (Ledger::default(), Instant::now());
        for node in 0..LIMIT {
            ledger.nodes.insert(
                format!("n{node}"),
                Seen { card: Arc::new(card(&format!("n{node}"), 1, 1)), pulse: Pulse::new(now) },
            );
        }
        assert_eq!(ledger.card(card("more", 1, 1), now, ""), Heard::Full);
    }
}
