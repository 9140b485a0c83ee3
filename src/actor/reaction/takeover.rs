//! A partition taken over: what the reader before it held comes first.

use super::{ACK_WAIT, AGAIN, beside::Told, held::key_of, reading::Reading};
use crate::{
    bus::{Delivery, Progress, Stream},
    call::Batch,
    telemetry::TAKEOVERS_TOTAL,
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};
use tokio::time::Instant;

/// How often to look whether all that was held elsewhere is settled.
const LOOK: Duration = Duration::from_millis(500);

/// After how long all that a dead reader held has come again.
const PATIENCE: Duration = ACK_WAIT.saturating_add(Duration::from_secs(5));

/// How many messages that may be held elsewhere are told from each other.
const SUSPECTS: usize = 10_000;

/// How many bytes of them are read for that.
const BYTES: usize = 64 << 20;

/// What may be held elsewhere, by key; nothing if that is too much to tell.
pub(super) type Suspects = Option<HashMap<Arc<str>, BTreeSet<u64>>>;

/// What was found out about a partition.
#[derive(Debug)]
pub(super) struct Look {
    /// What the records of parked keys say.
    records: Result<Batch, String>,
    /// How far the consumer is.
    progress: Option<Progress>,
    /// Which of its messages were held here when that was asked.
    here: BTreeSet<u64>,
}

/// The time after a takeover, in which older events may still come.
///
/// An event goes on when no older one of its key can come any more.
#[derive(Debug)]
pub(super) struct Limbo {
    /// Which takeover of this reader it is.
    number: u64,
    /// Whether it is still being found out what was held elsewhere.
    blind: bool,
    /// The turn of the first message that came, and whether that and what came
    /// before it is new.
    first: (u64, bool),
    /// When it began, or when what is held elsewhere became less.
    since: Instant,
    /// When to look again.
    pub(super) look: Instant,
    /// Whether somebody looks.
    looking: bool,
    /// How many messages were held elsewhere, or on their way, at the last look.
    elsewhere: usize,
    suspects: Suspects,
    /// What came and may not go on yet, in the order of the stream.
    pub(super) waiting: BTreeMap<u64, Delivery>,
}

impl Limbo {
    /// Notes what came, and says whether it may go on at once.
    fn takes(&mut self, key: &str, sequence: u64) -> bool {
        let Some(suspects) = &mut self.suspects else {
            return false;
        };
        let Some(older) = suspects.get_mut(key) else {
            return true;
        };
        older.remove(&sequence);
        older.first().is_none_or(|first| *first > sequence)
    }

    /// Returns the first of what waits that may go on.
    fn pop(&mut self) -> Option<Delivery> {
        let suspects = self.suspects.as_ref()?;
        let free = self.waiting.iter().find(|(sequence, delivery)| {
            let older = suspects.get(key_of(&delivery.message));
            older
                .and_then(BTreeSet::first)
                .is_none_or(|first| first > *sequence)
        });
        let sequence = *free?.0;
        self.waiting.remove(&sequence)
    }

    /// Takes in how far the consumer is, and how many messages are held here;
    /// whether nothing older can come any more.
    ///
    /// What was delivered and has not arrived counts as held elsewhere: it may be
    /// the oldest of its key.
    fn learns(&mut self, progress: Option<&Progress>, here: usize, now: Instant) -> bool {
        if let Some(progress) = progress {
            let elsewhere = progress.outstanding.saturating_sub(here);
            if elsewhere < self.elsewhere {
                self.since = now;
            }
            self.elsewhere = elsewhere;
            if let Some(suspects) = &mut self.suspects {
                suspects.retain(|_, older| {
                    older.retain(|sequence| *sequence > progress.floor);
                    !older.is_empty()
                });
            }
            let resolved = self.suspects.as_ref().is_some_and(HashMap::is_empty);
            if resolved || elsewhere == 0 {
                return true;
            }
        }
        now >= self.since + PATIENCE
    }
}

impl Reading<'_> {
    /// Begins to find out, when others may have been served before, what they
    /// left behind; until then what comes waits.
    pub(super) fn take_over(&mut self, first: &Delivery) {
        let now = Instant::now();
        let limbo = self.limbo.take();
        let waiting = limbo.map(|limbo| limbo.waiting).unwrap_or_default();
        let is_new = first.attempt == 1 && waiting.is_empty();
        let number = self.number();
        self.limbo = Some(Limbo {
            number,
            blind: true,
            first: (first.turn, is_new),
            since: now,
            look: now + LOOK,
            looking: true,
            elsewhere: usize::MAX,
            suspects: None,
            waiting,
        });
        self.look_around_for(number);
    }

    fn look_around_for(&mut self, number: u64) {
        let looking = self.looking();
        self.beside(async move { Told::TakenOver(number, Box::new(looking.await)) });
    }

    /// Reads the records, then how far the consumer is.
    fn looking(&mut self) -> impl Future<Output = Look> + Send + 'static {
        let (parks, filter) = (self.parks.clone(), self.records());
        let since = self.register.read() + 1;
        let progress = self.consumer.progress();
        let mut here = self.live();
        if let Some(limbo) = &self.limbo {
            here.extend(limbo.waiting.keys());
        }
        async move {
            let progress = progress.await.ok();
            let records = parks.some(&filter, since, None).await;
            let records = records.map_err(|error| error.to_string());
            Look { records, progress, here }
        }
    }

    /// Takes in what was found out of a partition that is taken over.
    pub(super) async fn taken_over(&mut self, number: u64, look: Look) {
        let now = Instant::now();
        let Some(limbo) = self.limbo.as_mut().filter(|limbo| limbo.number == number) else {
            return;
        };
        let first = limbo.first;
        match look.records {
            Ok(batch) => self.take_in_all(batch),
            Err(error) => {
                let child = &*self.reaction.path;
                tracing::warn!(
                    child,
                    error,
                    "a partition that is taken over waits until the records of parked keys can be read"
                );
                (limbo.look, limbo.looking) = (now + AGAIN, false);
                return self.attend(now + AGAIN);
            }
        }
        let here = self.still_here(&look.here);
        let elsewhere = look.progress.map(|progress| {
            let coming = (progress.turns + 1).saturating_sub(first.0);
            let here = here + usize::try_from(coming).unwrap_or(usize::MAX);
            progress.outstanding.saturating_sub(here)
        });
        // What comes again comes before what is new, but not in order for sure.
        if first.1 && elsewhere == Some(0) {
            return self.see_clear().await;
        }
        let child = self.reaction.path.to_string();
        tracing::info!(
            child,
            ?elsewhere,
            "a partition is taken over while events of it are out"
        );
        metrics::counter!(TAKEOVERS_TOTAL, "child" => child).increment(1);
        let (events, partition) = (self.events.clone(), self.reaction.partition);
        self.beside(async move {
            let suspects = match look.progress {
                Some(progress) => suspects(&events, partition, &progress).await,
                None => None,
            };
            Told::Suspects(number, suspects)
        });
    }

    /// Takes records in; if there are more, they are read beside the loop.
    fn take_in_all(&mut self, batch: Batch) {
        if self.take_in(batch).is_some() {
            self.look_up();
        }
    }

    /// Returns how many of these are held here still.
    fn still_here(&mut self, those: &BTreeSet<u64>) -> usize {
        let live = self.live();
        let waiting = self.limbo.as_ref().map(|limbo| &limbo.waiting);
        let waits = |sequence| waiting.is_some_and(|waiting| waiting.contains_key(sequence));
        those
            .iter()
            .filter(|sequence| live.contains(sequence) || waits(sequence))
            .count()
    }

    /// Takes in what may be held elsewhere, and lets go on what need not wait.
    pub(super) async fn suspect(&mut self, number: u64, mut suspects: Suspects) {
        let held = self.lanes.iter_mut().map(|(_, held)| held.stored());
        let Some(limbo) = self.limbo.as_mut().filter(|limbo| limbo.number == number) else {
            return;
        };
        let waits = limbo.waiting.values().map(|delivery| &delivery.message);
        for stored in held.chain(waits) {
            let of_key = suspects
                .as_mut()
                .and_then(|all| all.get_mut(key_of(stored)));
            of_key.map(|of_key| of_key.remove(&stored.sequence));
        }
        if let Some(suspects) = &mut suspects {
            suspects.retain(|_, older| {
                older.retain(|sequence| !self.handled.has(*sequence));
                !older.is_empty()
            });
        }
        let now = Instant::now();
        (limbo.suspects, limbo.blind, limbo.looking) = (suspects, false, false);
        (limbo.since, limbo.look) = (now, now + LOOK);
        self.attend(now + LOOK);
        self.let_on().await;
    }

    /// Holds an event back that an older one of its key may follow.
    pub(super) fn hold_back(&mut self, delivery: Delivery) -> Option<Delivery> {
        let Some(limbo) = &mut self.limbo else {
            return Some(delivery);
        };
        let sequence = delivery.message.sequence;
        if limbo.takes(key_of(&delivery.message), sequence) {
            return Some(delivery);
        }
        limbo.waiting.insert(sequence, delivery);
        None
    }

    /// Lets go on what need not wait any more.
    pub(super) async fn let_on(&mut self) {
        while let Some(delivery) = self.limbo.as_mut().and_then(Limbo::pop) {
            self.admit(delivery).await;
        }
    }

    /// Looks whether all that was held elsewhere is settled.
    pub(super) fn clear_up(&mut self, now: Instant) {
        let Some(limbo) = &mut self.limbo else {
            return;
        };
        if limbo.look > now || limbo.looking {
            return;
        }
        let (number, blind) = (limbo.number, limbo.blind);
        (limbo.look, limbo.looking) = (now + LOOK, true);
        if blind {
            return self.look_around_for(number);
        }
        let looking = self.looking();
        self.beside(async move { Told::Cleared(Box::new(looking.await)) });
    }

    pub(super) async fn cleared(&mut self, look: Look) {
        let now = Instant::now();
        // Whoever is still at work elsewhere may have parked a key.
        if let Ok(batch) = look.records {
            self.take_in_all(batch);
        }
        let here = self.still_here(&look.here);
        let Some(limbo) = self.limbo.as_mut().filter(|limbo| !limbo.blind) else {
            return;
        };
        limbo.looking = false;
        let progress = look.progress;
        if progress.is_some_and(|progress| !progress.ours) {
            self.lost = true;
            return;
        }
        if limbo.learns(progress.as_ref(), here, now) {
            return self.see_clear().await;
        }
        let look = limbo.look;
        self.attend(look);
        self.let_on().await;
    }

    /// Lets everything go on.
    async fn see_clear(&mut self) {
        if let Some(limbo) = self.limbo.take() {
            for delivery in limbo.waiting.into_values() {
                self.admit(delivery).await;
            }
        }
    }
}

/// Reads which messages may be held elsewhere; nothing if they are too many, or
/// cannot be read.
async fn suspects(events: &Stream, partition: u32, progress: &Progress) -> Suspects {
    let mut bytes = 0;
    let mut suspects: HashMap<Arc<str>, BTreeSet<u64>> = HashMap::new();
    let mut reader = events
        .read_partition(partition, progress.floor + 1)
        .await
        .ok()?;
    for _ in 0..SUSPECTS {
        let Some(stored) = reader.next().await.ok()? else {
            return Some(suspects);
        };
        if stored.sequence > progress.delivered {
            return Some(suspects);
        }
        bytes += stored.payload.len();
        if bytes > BYTES {
            break;
        }
        let key = Arc::from(key_of(&stored));
        suspects.entry(key).or_default().insert(stored.sequence);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limbo(since: Instant) -> Limbo {
        let suspects = HashMap::from([(Arc::from("a"), BTreeSet::from([11]))]);
        Limbo {
            number: 1,
            blind: false,
            first: (1, true),
            since,
            look: since,
            looking: false,
            elsewhere: usize::MAX,
            suspects: Some(suspects),
            waiting: BTreeMap::new(),
        }
    }

    fn progress(floor: u64, outstanding: usize) -> Progress {
        Progress { floor, delivered: 20, turns: 40, outstanding, ours: true }
    }

    #[test]
    fn what_was_delivered_and_has_not_arrived_may_be_the_oldest() {
        let now = Instant::now();
        let mut limbo = limbo(now);
        assert!(!limbo.learns(Some(&progress(10, 7)), 6, now));
        assert!(limbo.learns(Some(&progress(10, 7)), 7, now));
    }

    #[test]
    fn as_long_as_somebody_else_gets_on_it_is_waited_for() {
        let start = Instant::now();
        let mut limbo = limbo(start);
        let late = start + PATIENCE - LOOK;
        assert!(!limbo.learns(Some(&progress(10, 9)), 1, start));
        assert!(!limbo.learns(Some(&progress(10, 8)), 1, late));
        assert!(!limbo.learns(Some(&progress(10, 8)), 1, start + PATIENCE));
        assert!(limbo.learns(Some(&progress(10, 8)), 1, late + PATIENCE));
    }

    #[test]
    fn it_ends_when_all_suspects_are_settled() {
        let now = Instant::now();
        assert!(limbo(now).learns(Some(&progress(11, 3)), 0, now));
    }
}
