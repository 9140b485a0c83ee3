use super::{
    cursor::Turn,
    lease::Lease,
    record::Record,
    seats::{Found, Seat},
    shelf::Item,
    store::{Broken, Disk, Needs},
    ticket::told,
};
use crate::bus::{
    AckError, ConsumerError, Delivery, Progress, Stored,
    consumer::{Ack, Acker as AnyAcker},
};
use std::{fmt, io, sync::Arc};
use tokio::{
    sync::Notify,
    task::coop::consume_budget,
    time::{Instant, timeout_at},
};

/// A handle to one durable consumer.
pub(in crate::bus) struct Consumer {
    kept: Lease,
    seat: Seat,
    wake: Arc<Notify>,
    /// The place among the deliveries of what came here last.
    turn: u64,
}

impl Consumer {
    pub(super) fn new(kept: Lease, seat: Seat) -> Self {
        Self { kept, seat, wake: Arc::new(Notify::new()), turn: u64::MAX - 1 }
    }

    pub(in crate::bus) async fn next(&mut self) -> Result<Delivery, ConsumerError> {
        consume_budget().await;
        loop {
            match self.kept.look(self.seat, &self.wake) {
                Found::Message(item, turn) => {
                    if let Some(delivery) = self.delivery(item, turn)? {
                        return Ok(delivery);
                    }
                }
                Found::Unread(error) => return Err(self.unavailable(&error)),
                Found::Nothing { until } => self.wait(until).await,
            }
        }
    }

    pub(in crate::bus) fn progress(&self) -> Progress {
        self.kept.progress(self.seat)
    }

    /// Builds a delivery; nothing if the message is gone, which settles it.
    fn delivery(&mut self, item: Item, turn: Turn) -> Result<Option<Delivery>, ConsumerError> {
        let found = self.kept.fetch(item);
        let Some(record) = found.map_err(|error| self.unavailable(&error))? else {
            self.kept.change(self.seat.durable, |durable, _| {
                durable.cursor.settle(turn.sequence);
            });
            return Ok(None);
        };
        let acker = Acker { kept: self.kept.clone(), durable: self.seat.durable };
        let acker = AnyAcker::Embedded(acker);
        let resumed = turn.number != self.turn + 1;
        self.turn = turn.number;
        let message = Record::give(record);
        let delivery = Delivery::new(message, turn.attempt, turn.pending, acker);
        Ok(Some(delivery.at(turn.number, resumed)))
    }

    fn unavailable(&self, error: &io::Error) -> ConsumerError {
        let name = self.kept.config().name.clone();
        ConsumerError::Unavailable { name, reason: error.to_string() }
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
    kept: Lease,
    durable: usize,
}

impl Acker {
    pub(in crate::bus) async fn say(&self, message: &Stored, ack: Ack) -> Result<(), AckError> {
        let sequence = message.sequence;
        if let Some(broken) = self.kept.disk().and_then(Disk::failure) {
            return Err(unsaid(message, &broken));
        }
        self.kept.change(self.durable, |durable, now| match ack {
            Ack::Done | Ack::Never => durable.cursor.settle(sequence),
            Ack::Again(delay) => durable.cursor.again(sequence, delay, now),
            Ack::Working => durable.cursor.progress(sequence, now),
        });
        Ok(())
    }

    /// Starts the ack wait of a message anew.
    pub(in crate::bus) fn progress(&self, message: &Stored) {
        let sequence = message.sequence;
        self.kept.change(self.durable, |durable, now| {
            durable.cursor.progress(sequence, now);
        });
    }

    /// Settles a message and waits until the store has it.
    pub(in crate::bus) async fn confirm(&self, message: &Stored) -> Result<(), AckError> {
        self.say(message, Ack::Done).await?;
        let Some(disk) = self.kept.disk() else {
            return Ok(());
        };
        told(disk.after(Needs::Places))
            .await
            .map_err(|broken| unsaid(message, &broken))
    }
}

fn unsaid(message: &Stored, broken: &Broken) -> AckError {
    AckError {
        subject: message.subject.clone(),
        sequence: message.sequence,
        reason: broken.0.as_ref().into(),
    }
}

impl fmt::Debug for Acker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Acker({}, {})", self.kept.config().name, self.durable)
    }
}
