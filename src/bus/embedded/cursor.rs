use super::super::{ConsumerConfig, Progress};
use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    mem,
    time::Duration,
};
use tokio::time::Instant;

/// What one durable consumer has yet to see, has out, and must see again.
///
/// A pure machine: it holds sequences, not messages, and is told the time.
#[derive(Debug)]
pub(super) struct Cursor {
    limits: Limits,
    backlog: VecDeque<u64>,
    out: HashMap<u64, Flight>,
    due: BTreeSet<(Instant, u64)>,
    again: BTreeSet<u64>,
    /// Up to which sequence messages were delivered at all.
    next: u64,
    /// How many deliveries there were.
    turns: u64,
    /// What changed since somebody asked; nothing if nobody ever will.
    touched: Option<BTreeSet<u64>>,
    /// Up to which sequence all that is wanted was delivered or is in the backlog.
    looked: u64,
    /// How many messages may be wanted beyond that; nothing if there are none.
    beyond: Option<u64>,
}

/// How many messages a consumer of a stored stream knows ahead; the others are
/// found when it comes to them.
const AHEAD: usize = 1_024;

/// What changed for a consumer, to be written down.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Move {
    /// Up to which sequence messages were delivered at all.
    pub(super) next: u64,
    /// What is out now, and how often it was.
    pub(super) out: Vec<(u64, u32)>,
    /// What is settled.
    pub(super) gone: Vec<u64>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    ack_wait: Duration,
    max_deliver: Option<u32>,
    max_ack_pending: usize,
}

impl From<&ConsumerConfig> for Limits {
    fn from(config: &ConsumerConfig) -> Self {
        Self {
            ack_wait: config.ack_wait,
            max_deliver: config.max_deliver,
            max_ack_pending: config.max_ack_pending,
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Flight {
    attempt: u32,
    due: Instant,
}

/// One delivery as the cursor decided it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Turn {
    pub(super) sequence: u64,
    pub(super) attempt: u32,
    pub(super) pending: u64,
    pub(super) number: u64,
}

impl Cursor {
    pub(super) fn new(limits: Limits, backlog: VecDeque<u64>) -> Self {
        Self {
            limits,
            backlog,
            out: HashMap::new(),
            due: BTreeSet::new(),
            again: BTreeSet::new(),
            next: 0,
            turns: 0,
            touched: None,
            looked: 0,
            beyond: None,
        }
    }

    /// Goes on in a stored stream where another left off: what was out comes
    /// again at once. From here on it notes what changes.
    pub(super) fn resume(
        &mut self,
        next: u64,
        out: impl IntoIterator<Item = (u64, u32)>,
        (last, now): (u64, Instant),
    ) {
        for (sequence, attempt) in out {
            self.out.insert(sequence, Flight { attempt, due: now });
            self.due.insert((now, sequence));
        }
        (self.next, self.looked) = (next, next);
        self.beyond = (last > next).then(|| last - next);
        self.touched = Some(BTreeSet::new());
    }

    /// Returns from which sequence on it needs to know what is wanted, if it does.
    pub(super) fn wants(&self) -> Option<u64> {
        let short = self.beyond.is_some() && self.backlog.len() < AHEAD / 4;
        short.then_some(self.looked + 1)
    }

    /// Takes in what is wanted of the messages up to one, of so many there are.
    pub(super) fn refill(
        &mut self,
        found: impl IntoIterator<Item = u64>,
        (looked, last): (u64, u64),
    ) {
        let before = self.backlog.len();
        self.backlog.extend(found);
        self.looked = looked;
        let more = (self.backlog.len() - before) as u64;
        let beyond = self.beyond.unwrap_or_default().saturating_sub(more);
        self.beyond = (looked < last).then(|| beyond.clamp(1, last - looked));
    }

    /// Whether something changed that is to be written down.
    pub(super) fn has_moved(&self) -> bool {
        self.touched
            .as_ref()
            .is_some_and(|touched| !touched.is_empty())
    }

    /// Returns what changed since the last time.
    pub(super) fn step(&mut self) -> Option<Move> {
        let touched = self.touched.as_mut().map(mem::take)?;
        if touched.is_empty() {
            return None;
        }
        let mut step = Move { next: self.next, ..Move::default() };
        for sequence in touched {
            match self.out.get(&sequence) {
                Some(flight) => step.out.push((sequence, flight.attempt)),
                None => step.gone.push(sequence),
            }
        }
        Some(step)
    }

    fn touch(&mut self, sequence: u64) {
        if let Some(touched) = &mut self.touched {
            touched.insert(sequence);
        }
    }

    pub(super) const fn limit(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Notes a message that was stored.
    pub(super) fn offer(&mut self, sequence: u64) {
        match &mut self.beyond {
            Some(beyond) => *beyond += 1,
            None if self.touched.is_some() && self.backlog.len() >= AHEAD => self.beyond = Some(1),
            None => {
                self.backlog.push_back(sequence);
                self.looked = sequence;
            }
        }
    }

    /// Returns how many messages wait; of those it does not know yet, at most.
    fn waiting(&self) -> usize {
        let beyond = self.beyond.unwrap_or_default();
        self.backlog.len() + usize::try_from(beyond).unwrap_or(usize::MAX)
    }

    /// Returns what to deliver now: what must come again first, then what is new.
    pub(super) fn take(&mut self, now: Instant) -> Option<Turn> {
        self.expire(now);
        let (sequence, attempt) = if let Some(sequence) = self.again.pop_first() {
            let earlier = self.out.get(&sequence).map_or(0, |flight| flight.attempt);
            (sequence, earlier + 1)
        } else if self.out.len() < self.limits.max_ack_pending {
            self.next = self.backlog.pop_front()?;
            (self.next, 1)
        } else {
            return None;
        };
        self.touch(sequence);
        let due = later(now, self.limits.ack_wait);
        self.out.insert(sequence, Flight { attempt, due });
        self.due.insert((due, sequence));
        let pending = self.waiting() as u64;
        self.turns += 1;
        Some(Turn { sequence, attempt, pending, number: self.turns })
    }

    /// Returns when there may be something to deliver: `now` or earlier for at
    /// once, nothing if only a new message can change that.
    pub(super) fn next_at(&self, now: Instant) -> Option<Instant> {
        let room = self.out.len() < self.limits.max_ack_pending;
        if !self.again.is_empty() || (room && self.waiting() > 0) {
            return Some(now);
        }
        self.due.first().map(|(due, _)| *due)
    }

    /// Returns how far it is, to one who is the one that is served.
    pub(super) fn standing(&self) -> Progress {
        let first = self.out.keys().min();
        let floor = first.map_or(self.next, |first| first - 1);
        let outstanding = self.out.len();
        Progress { floor, delivered: self.next, turns: self.turns, outstanding, ours: true }
    }

    /// Settles a message: done, or never to come again.
    pub(super) fn settle(&mut self, sequence: u64) {
        if let Some(flight) = self.out.remove(&sequence) {
            self.due.remove(&(flight.due, sequence));
            self.again.remove(&sequence);
            self.touch(sequence);
        }
    }

    /// Lets a message come again after a delay, or gives it up if that was its last attempt.
    pub(super) fn again(&mut self, sequence: u64, delay: Duration, now: Instant) {
        let Some(flight) = self.out.get(&sequence) else {
            return;
        };
        if self.is_last(flight.attempt) {
            return self.settle(sequence);
        }
        self.postpone(sequence, later(now, delay));
    }

    /// Starts a message's ack wait anew.
    pub(super) fn progress(&mut self, sequence: u64, now: Instant) {
        self.postpone(sequence, later(now, self.limits.ack_wait));
    }

    /// Returns how many messages are not settled.
    #[cfg(any(test, feature = "test-util"))]
    pub(super) fn unsettled(&mut self, now: Instant) -> usize {
        self.expire(now);
        self.waiting() + self.out.len()
    }

    fn postpone(&mut self, sequence: u64, due: Instant) {
        let Some(flight) = self.out.get_mut(&sequence) else {
            return;
        };
        self.due.remove(&(flight.due, sequence));
        self.again.remove(&sequence);
        flight.due = due;
        self.due.insert((due, sequence));
    }

    fn expire(&mut self, now: Instant) {
        while let Some(&(due, sequence)) = self.due.first()
            && due <= now
        {
            self.due.pop_first();
            let attempt = self.out.get(&sequence).map_or(0, |flight| flight.attempt);
            if self.is_last(attempt) {
                self.out.remove(&sequence);
                self.touch(sequence);
            } else {
                self.again.insert(sequence);
            }
        }
    }

    fn is_last(&self, attempt: u32) -> bool {
        self.limits
            .max_deliver
            .is_some_and(|limit| attempt >= limit)
    }
}

/// Adds, and takes a sum beyond what the clock can say for a year away.
fn later(now: Instant, delay: Duration) -> Instant {
    const YEAR: Duration = Duration::from_hours(365 * 24);
    now.checked_add(delay).unwrap_or(now + YEAR)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAIT: Duration = Duration::from_secs(10);

    fn cursor(max_deliver: Option<u32>, max_ack_pending: usize, stored: u64) -> Cursor {
        let limits = Limits { ack_wait: WAIT, max_deliver, max_ack_pending };
        Cursor::new(limits, (1..=stored).collect())
    }

    fn taken(cursor: &mut Cursor, now: Instant) -> Vec<(u64, u32)> {
        std::iter::from_fn(|| cursor.take(now))
            .map(|turn| (turn.sequence, turn.attempt))
            .collect()
    }

    #[test]
    fn what_must_come_again_comes_first_and_in_order() {
        let now = Instant::now();
        let mut cursor = cursor(None, 3, 5);
        assert_eq!(taken(&mut cursor, now), [(1, 1), (2, 1), (3, 1)]);
        assert_eq!(cursor.next_at(now), Some(now + WAIT));
        cursor.settle(2);
        cursor.again(3, Duration::ZERO, now);
        cursor.again(1, Duration::ZERO, now);
        assert_eq!(taken(&mut cursor, now), [(1, 2), (3, 2), (4, 1)]);
        assert_eq!(taken(&mut cursor, now + WAIT), [(1, 3), (3, 3), (4, 2)]);
    }

    #[test]
    fn the_last_attempt_is_the_last_and_frees_its_place() {
        let now = Instant::now();
        let mut cursor = cursor(Some(2), 1, 2);
        assert_eq!(taken(&mut cursor, now), [(1, 1)]);
        assert_eq!(taken(&mut cursor, now + WAIT), [(1, 2)]);
        assert_eq!(cursor.unsettled(now + WAIT), 2);
        assert_eq!(taken(&mut cursor, now + 2 * WAIT), [(2, 1)]);
        assert_eq!(cursor.unsettled(now + 2 * WAIT), 1);
        cursor.again(2, Duration::ZERO, now + 2 * WAIT);
        assert_eq!(taken(&mut cursor, now + 2 * WAIT), [(2, 2)]);
        cursor.again(2, Duration::ZERO, now + 2 * WAIT);
        assert_eq!(cursor.unsettled(now + 2 * WAIT), 0);
        assert_eq!(cursor.next_at(now), None);
    }

    #[test]
    fn progress_keeps_a_message_and_a_late_ack_settles_it() {
        let now = Instant::now();
        let mut cursor = cursor(None, 1, 1);
        assert_eq!(taken(&mut cursor, now), [(1, 1)]);
        cursor.progress(1, now + WAIT / 2);
        assert_eq!(taken(&mut cursor, now + WAIT), []);
        assert_eq!(taken(&mut cursor, now + 2 * WAIT), [(1, 2)]);
        cursor.settle(1);
        assert_eq!(taken(&mut cursor, now + 9 * WAIT), []);
        cursor.offer(2);
        assert_eq!(taken(&mut cursor, now), [(2, 1)]);
    }

    #[test]
    fn its_steps_lead_another_to_the_same_place() {
        let now = Instant::now();
        let mut cursor = cursor(Some(3), 9, 4);
        cursor.resume(0, [], (0, now));
        taken(&mut cursor, now);
        cursor.settle(2);
        cursor.settle(3);
        let step = Move { next: 4, out: vec![(1, 1), (4, 1)], gone: vec![2, 3] };
        assert_eq!(cursor.step(), Some(step));
        assert_eq!((cursor.has_moved(), cursor.step()), (false, None));
        assert_eq!(taken(&mut cursor, now + WAIT), [(1, 2), (4, 2)]);
        cursor.settle(4);
        let step = Move { next: 4, out: vec![(1, 2)], gone: vec![4] };
        assert_eq!(cursor.step(), Some(step));
        let mut other = self::cursor(Some(3), 9, 0);
        other.resume(4, [(1, 2)], (4, now));
        assert_eq!(taken(&mut other, now), [(1, 3)]);
        let mut last = self::cursor(Some(3), 9, 0);
        last.resume(4, [(1, 3)], (4, now));
        assert_eq!(taken(&mut last, now), [], "given up");
    }

    #[test]
    fn a_stored_stream_is_known_only_a_little_ahead() {
        let now = Instant::now();
        let mut cursor = cursor(None, 9_999, 0);
        cursor.resume(0, [], (5_000, now));
        assert_eq!((cursor.wants(), cursor.waiting()), (Some(1), 5_000));
        cursor.refill((1..=1_000).filter(|at| at % 2 == 0), (1_000, 5_000));
        assert_eq!((cursor.wants(), cursor.waiting()), (None, 4_500));
        let first = taken(&mut cursor, now);
        assert_eq!(
            (first.len(), first[0], first[499]),
            (500, (2, 1), (1_000, 1))
        );
        assert_eq!(cursor.next_at(now), Some(now), "there may be more");
        cursor.offer(5_001);
        cursor.refill([], (5_001, 5_001));
        assert_eq!((cursor.wants(), cursor.waiting()), (None, 0), "it has all");
        for sequence in 5_002..=7_000 {
            cursor.offer(sequence);
        }
        assert_eq!(cursor.waiting(), 1_999);
        taken(&mut cursor, now);
        assert_eq!(cursor.wants(), Some(6_026), "the rest is looked for");
    }

    #[test]
    fn pending_counts_what_was_never_delivered() {
        let now = Instant::now();
        let mut cursor = cursor(None, 2, 3);
        assert_eq!(cursor.take(now).map(|turn| turn.pending), Some(2));
        assert_eq!(cursor.take(now).map(|turn| turn.pending), Some(1));
        assert_eq!(cursor.take(now), None);
    }
}
