use super::{HELD, RENEW, Reaction, held::Held};
use crate::{actor::lanes::Lanes, bus::Delivery, call::Ended};
use std::{pin::pin, sync::Arc, time::Duration};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep_until, timeout_at},
};

/// What a running reaction holds.
pub(super) struct Reading<'a> {
    pub(super) reaction: &'a Reaction,
    pub(super) lanes: Lanes<Held>,
    pub(super) ended: mpsc::UnboundedSender<(usize, Ended)>,
    pub(super) stream: &'a str,
    /// Nothing held needs attention before this.
    pub(super) look: Instant,
}
impl Reaction {
    pub(super) async fn read(&self, stop: &mut watch::Receiver<bool>) -> Result<(), String> {
        let (_, mut consumer) = self.open().await?;
        let stream = self.client.namespace().event_stream(self.domain);
        // Bounded by what is held: a slot sends once each time it is worked on.
        let (ended, mut outcomes) = mpsc::unbounded_channel();
        let mut reading = Reading {
            reaction: self,
            lanes: Lanes::new(),
            ended,
            stream: &stream,
            look: Instant::now(),
        };
        let mut stopping = pin!(stop.changed());
        let mut alarm = pin!(sleep_until(reading.look));
        let outcome = loop {
            if alarm.deadline() != reading.look {
                alarm.as_mut().reset(reading.look);
            }
            tokio::select! {
                biased;
                _ = &mut stopping => break Ok(()),
                Some((slot, ended)) = outcomes.recv() => {
                    reading.settle(slot, ended).await;
                    if self.is_away() {
                        break Err("its actor is away".to_owned());
                    }
                }
                () = &mut alarm, if reading.lanes.len() > 0 => reading.wake().await,
                delivery = consumer.next(), if reading.lanes.len() < HELD => match delivery {
                    Ok(delivery) => reading.arrive(delivery).await,
                    Err(error) => break Err(error.to_string()),
                },
            }
        };
        // What is handed back shall not come here again.
        consumer.retire().await;
        reading.hand_back(&mut outcomes).await;
        consumer.close().await;
        outcome
    }
}
impl Reading<'_> {
    async fn arrive(&mut self, delivery: Delivery) {
        let now = Instant::now();
        if self.lanes.len() == 0 {
            self.look = now + RENEW;
        }
        let (_, token) = delivery
            .message
            .subject
            .rsplit_once('.')
            .unwrap_or_default();
        let token = Arc::from(token);
        let held = Held {
            attempt: delivery.attempt,
            delivery,
            due: None,
            dead: None,
            running: false,
            renewed: now,
        };
        let next = self.lanes.arrive(token, held);
        self.advance(next).await;
    }

    /// Finds out when something held needs attention next.
    fn look_ahead(&mut self) {
        let next = self.lanes.iter_mut().map(|(_, held)| {
            let renewal = held.renewed + RENEW;
            held.due.map_or(renewal, |due| due.min(renewal))
        });
        self.look = next.min().unwrap_or_else(|| Instant::now() + RENEW);
    }

    /// Renews the ack wait of what is held for long, and tries again what is due.
    async fn wake(&mut self) {
        let now = Instant::now();
        let mut due = Vec::new();
        for (slot, held) in self.lanes.iter_mut() {
            if held.renewed + RENEW <= now {
                held.renewed = now;
                if let Err(error) = held.delivery.progress().await {
                    tracing::warn!(%error, "an event may come twice");
                }
            }
            if held.due.is_some_and(|due| due <= now) {
                due.push((slot, held.dead.take()));
            }
        }
        for (slot, dead) in due {
            let next = match dead {
                Some(reason) => self.bury(slot, reason).await,
                None => Some(slot),
            };
            self.advance(next).await;
        }
        self.look_ahead();
    }

    /// Waits for what is being handled, then gives back what is not.
    async fn hand_back(&mut self, outcomes: &mut mpsc::UnboundedReceiver<(usize, Ended)>) {
        let patience = Instant::now() + RENEW;
        while self.lanes.iter_mut().any(|(_, held)| held.running) {
            let Ok(Some((slot, ended))) = timeout_at(patience, outcomes.recv()).await else {
                break;
            };
            if matches!(ended, Ended::Done) {
                self.done(slot).await;
            } else if let Some(held) = self.lanes.get_mut(slot) {
                held.running = false;
            }
        }
        let mut left = self.lanes.take_all();
        // In the order of the stream, so that they come again in order.
        left.sort_by_key(|held| held.delivery.message.sequence);
        for held in left {
            // What cannot be given back comes again after its ack wait.
            held.delivery.nak(Duration::ZERO).await.ok();
        }
    }
}
