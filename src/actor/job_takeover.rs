//! A partition of jobs taken over: what the reader before held comes first.

use super::{
    failover::{Failover, PROGRESS_INTERVAL, suspects},
    job_reader::Reading,
};
use crate::{bus::Delivery, telemetry::TAKEOVERS_TOTAL};
use tokio::time::Instant;

impl Reading<'_> {
    /// Finds out, when others may have been served before, what they left behind.
    pub(super) async fn take_over(&mut self, first: &Delivery) {
        let now = Instant::now();
        let limbo = self.limbo.take();
        let waiting = limbo.map(|limbo| limbo.waiting).unwrap_or_default();
        let progress = self.consumer.progress().await;
        let here = self.lanes.len() + waiting.len();
        let elsewhere = progress.as_ref().map(|progress| {
            let coming = (progress.turns + 1).saturating_sub(first.turn);
            let here = here + usize::try_from(coming).unwrap_or(usize::MAX);
            progress.outstanding.saturating_sub(here)
        });
        let is_new = first.attempt == 1 && waiting.is_empty();
        // What comes again comes before what is new, but not in order for sure.
        if is_new && elsewhere.as_ref().is_ok_and(|elsewhere| *elsewhere == 0) {
            return;
        }
        let (domain, partition) = (&*self.jobs.domain, self.partition);
        tracing::info!(
            domain,
            partition,
            ?elsewhere,
            "a partition is taken over while jobs of it are out"
        );
        metrics::counter!(TAKEOVERS_TOTAL, "child" => self.jobs.path.to_string()).increment(1);
        let suspects = match progress {
            Ok(progress) => suspects(&self.source, partition, &progress).await,
            Err(_) => None,
        };
        let mut limbo = Failover::new(now, waiting);
        let held = self.lanes.iter_mut();
        limbo.suspect(suspects, held.map(|(_, held)| &held.delivery.message), now);
        self.attend(limbo.look);
        self.limbo = Some(limbo);
    }

    /// Lets go on what need not wait any more.
    pub(super) async fn let_on(&mut self) {
        while let Some(delivery) = self.limbo.as_mut().and_then(Failover::pop) {
            self.admit(delivery).await;
        }
    }

    /// Looks whether all that was held elsewhere is settled.
    pub(super) async fn clear_up(&mut self, now: Instant) {
        let Some(limbo) = &mut self.limbo else {
            return;
        };
        if limbo.look <= now {
            limbo.look = now + PROGRESS_INTERVAL;
            let progress = self.consumer.progress().await.ok();
            if progress.is_some_and(|progress| !progress.ours) {
                self.lost = true;
                return;
            }
            let here = self.lanes.len() + limbo.waiting.len();
            if limbo.learns(progress.as_ref(), here, now) {
                let waiting = std::mem::take(&mut limbo.waiting);
                self.limbo = None;
                for delivery in waiting.into_values() {
                    self.admit(delivery).await;
                }
                return;
            }
        }
        let look = limbo.look;
        self.attend(look);
        self.let_on().await;
    }
}
