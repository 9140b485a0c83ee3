//! A partition taken over: what the reader before it held comes first.

use super::{AGAIN, beside::Told, held::key_of, reading::Reading};
use crate::{
    actor::failover::{Failover, PROGRESS_INTERVAL, Suspects, suspects},
    bus::{Delivery, Progress},
    call::Batch,
    telemetry::TAKEOVERS_TOTAL,
};
use std::collections::BTreeSet;
use tokio::time::Instant;

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

/// A takeover, and what may still come after it.
#[derive(Debug)]
pub(super) struct Limbo {
    /// Which takeover of this reader it is.
    number: u64,
    /// Whether it is still being found out what was held elsewhere.
    blind: bool,
    /// The turn of the first message that came, and whether that and what came
    /// before it is new.
    first: (u64, bool),
    /// Whether somebody looks.
    looking: bool,
    pub(super) failover: Failover,
}

impl Reading<'_> {
    /// Begins to find out, when others may have been served before, what they
    /// left behind; until then what comes waits.
    pub(super) fn take_over(&mut self, first: &Delivery) {
        let now = Instant::now();
        let limbo = self.limbo.take();
        let waiting = limbo.map(|limbo| limbo.failover.waiting);
        let waiting = waiting.unwrap_or_default();
        let is_new = first.attempt == 1 && waiting.is_empty();
        let number = self.number();
        self.limbo = Some(Limbo {
            number,
            blind: true,
            first: (first.turn, is_new),
            looking: true,
            failover: Failover::new(now, waiting),
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
            here.extend(limbo.failover.waiting.keys());
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
                (limbo.failover.look, limbo.looking) = (now + AGAIN, false);
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
        let waiting = self.limbo.as_ref().map(|limbo| &limbo.failover.waiting);
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
        if let Some(suspects) = &mut suspects {
            suspects.retain(|_, older| {
                older.retain(|sequence| !self.handled.has(*sequence));
                !older.is_empty()
            });
        }
        let now = Instant::now();
        limbo.failover.suspect(suspects, held, now);
        (limbo.blind, limbo.looking) = (false, false);
        let look = limbo.failover.look;
        self.attend(look);
        self.let_on().await;
    }

    /// Holds an event back that an older one of its key may follow.
    pub(super) fn hold_back(&mut self, delivery: Delivery) -> Option<Delivery> {
        let Some(limbo) = &mut self.limbo else {
            return Some(delivery);
        };
        let sequence = delivery.message.sequence;
        if limbo.failover.takes(key_of(&delivery.message), sequence) {
            return Some(delivery);
        }
        limbo.failover.waiting.insert(sequence, delivery);
        None
    }

    /// Lets go on what need not wait any more.
    pub(super) async fn let_on(&mut self) {
        while let Some(limbo) = &mut self.limbo
            && let Some(delivery) = limbo.failover.pop()
        {
            self.admit(delivery).await;
        }
    }

    /// Looks whether all that was held elsewhere is settled.
    pub(super) fn clear_up(&mut self, now: Instant) {
        let Some(limbo) = &mut self.limbo else {
            return;
        };
        if limbo.failover.look > now || limbo.looking {
            return;
        }
        let (number, blind) = (limbo.number, limbo.blind);
        (limbo.failover.look, limbo.looking) = (now + PROGRESS_INTERVAL, true);
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
        if limbo.failover.learns(progress.as_ref(), here, now) {
            return self.see_clear().await;
        }
        let look = limbo.failover.look;
        self.attend(look);
        self.let_on().await;
    }

    /// Lets everything go on.
    async fn see_clear(&mut self) {
        if let Some(limbo) = self.limbo.take() {
            for delivery in limbo.failover.waiting.into_values() {
                self.admit(delivery).await;
            }
        }
    }
}
