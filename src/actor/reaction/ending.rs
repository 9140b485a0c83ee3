//! The end of a reader: what is being handled ends, and the rest is given back.

use super::{
    AGAIN, RENEW,
    reading::{Outcomes, Reading},
};
use crate::bus::Delivery;
use futures_util::StreamExt;
use std::{collections::HashSet, mem, sync::Arc, time::Duration};
use tokio::time::{Instant, sleep_until};

/// How long what is being handled may take to end. A handler is cut off by its
/// own limit, and the node has one for its drain.
const ENDS: Duration = Duration::from_mins(10);

impl Reading<'_> {
    /// Lets what is being handled end, and gives back the rest to another reader.
    pub(super) async fn end_all(mut self, outcomes: &mut Outcomes) {
        self.closing = true;
        // What is handed back shall not come here again.
        self.consumer.retire().await;
        let held_back = mem::take(&mut self.limbo);
        let held_back = held_back
            .into_iter()
            .flat_map(|limbo| limbo.failover.waiting);
        let mut idle: Vec<_> = held_back.map(|(_, delivery)| delivery).collect();
        idle.extend(self.take_idle());
        self.give_back(idle).await;
        self.await_ends(outcomes).await;
        for key in self.drains.keys().cloned().collect::<Vec<_>>() {
            self.put_down(&key).await;
        }
        self.put_letters_down().await;
        let rest = self.lanes.take_all().into_iter();
        let rest = rest.filter_map(|held| held.source.delivery()).collect();
        let lapsed = self.pulse.is_lapsed(Instant::now());
        self.give_back(rest).await;
        if lapsed {
            self.consumer.abandon();
        } else {
            self.consumer.close().await;
        }
    }

    /// Takes out what is of keys of which nothing is being handled.
    fn take_idle(&mut self) -> Vec<Delivery> {
        let busy = |held: &super::held::Held| held.running || held.writing;
        let all: Vec<(usize, Arc<str>, bool)> = self
            .lanes
            .iter_mut()
            .map(|(slot, held)| (slot, held.key().into(), busy(held)))
            .collect();
        let at_work: HashSet<_> = all
            .iter()
            .filter(|(_, _, busy)| *busy)
            .map(|(_, key, _)| key)
            .collect();
        let mut idle = Vec::new();
        for (slot, key, _) in &all {
            // A lane goes as a whole.
            if !at_work.contains(key)
                && let Some((held, _)) = self.lanes.leave(*slot)
            {
                idle.extend(held.source.delivery());
            }
        }
        idle
    }

    /// Gives events back in the order of the stream, so that they come again in order.
    async fn give_back(&mut self, mut events: Vec<Delivery>) {
        if self.pulse.is_lapsed(Instant::now()) {
            return;
        }
        events.sort_by_key(|delivery| delivery.message.sequence);
        for delivery in events {
            // What cannot be given back comes again after its ack wait.
            delivery.nak(Duration::ZERO).await.ok();
        }
    }

    /// Waits for what is being handled or written down, and renews it meanwhile.
    async fn await_ends(&mut self, outcomes: &mut Outcomes) {
        let start = Instant::now();
        loop {
            let lapsed = self.is_lapsed();
            let end = start + if lapsed { AGAIN } else { ENDS };
            let busy = {
                let mut held = self.lanes.iter_mut();
                held.any(|(_, held)| held.running || held.writing)
            };
            if !busy || end <= Instant::now() {
                return;
            }
            tokio::select! {
                biased;
                Some((slot, ended)) = outcomes.recv() => self.settle(slot, ended).await,
                Some(told) = self.deeds.next() => self.hear(told).await,
                () = sleep_until(end.min(self.renewed + RENEW)) => {
                    self.renew_by(Instant::now()).await;
                }
            }
        }
    }
}
