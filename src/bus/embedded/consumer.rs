use super::kept::{Found, Kept, Seat};
use crate::bus::{
    AckError, ConsumerError, Delivery, Stored,
    consumer::{Ack, Acker as AnyAcker},
};
use std::{fmt, sync::Arc};
use tokio::{
    sync::Notify,
    task::coop::consume_budget,
    time::{Instant, timeout_at},
};

/// A handle to one durable consumer.
pub(in crate::bus) struct Consumer {
    kept: Arc<Kept>,
    seat: Seat,
    wake: Arc<Notify>,
}

impl Consumer {
    pub(super) fn new(kept: Arc<Kept>, seat: Seat) -> Self {
        Self { kept, seat, wake: Arc::new(Notify::new()) }
    }

    pub(in crate::bus) async fn next(&mut self) -> Result<Delivery, ConsumerError> {
        consume_budget().await;
        loop {
            match self.kept.look(self.seat, &self.wake) {
                Found::Message(record, turn) => {
                    let acker = Acker { kept: Arc::clone(&self.kept), durable: self.seat.durable };
                    return Ok(Delivery::new(
                        record.stored(),
                        turn.attempt,
                        turn.pending,
                        AnyAcker::Embedded(acker),
                    ));
                }
                Found::Nothing { until } => self.wait(until).await,
            }
        }
    }

    /// Waits until there may be a message for this handle.
    async fn wait(&self, until: Option<Instant>) {
        let waiting = Waiting(self);
        match until {
            None => self.wake.notified().await,
            // Both ends mean the same: look again.
            Some(until) => drop(timeout_at(until, self.wake.notified()).await),
        }
        // The next look tells the consumer itself.
        std::mem::forget(waiting);
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        let Seat { durable, handle } = self.seat;
        self.kept
            .change(durable, |durable, now| durable.close(handle, now));
    }
}

impl fmt::Debug for Consumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Consumer({}, {:?})", self.kept.config().name, self.seat)
    }
}

/// Tells the consumer when a wait was given up.
struct Waiting<'a>(&'a Consumer);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let Seat { durable, handle } = self.0.seat;
        self.0
            .kept
            .change(durable, |durable, now| durable.leave(handle, now));
    }
}

/// Acknowledges the messages of one durable consumer.
pub(in crate::bus) struct Acker {
    kept: Arc<Kept>,
    durable: usize,
}

impl Acker {
    pub(in crate::bus) async fn say(&self, message: &Stored, ack: Ack) -> Result<(), AckError> {
        let sequence = message.sequence;
        self.kept.change(self.durable, |durable, now| match ack {
            Ack::Done | Ack::Never => durable.cursor.settle(sequence),
            Ack::Again(delay) => durable.cursor.again(sequence, delay, now),
            Ack::Working => durable.cursor.progress(sequence, now),
        });
        Ok(())
    }
}

impl fmt::Debug for Acker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Acker({}, {})", self.kept.config().name, self.durable)
    }
}
