//! Subscriptions, and how they end without losing what is on its way.
//!
//! The client's own `drain` forgets a subscription as soon as it has told the
//! server, so that what the server sends until it has heard is lost; of a queue,
//! nobody else gets it. A count of messages is something that both agree on: the
//! server sends as many, and the client takes as many. So where messages come, the
//! end is set a few messages ahead. Where none come, none can be lost.

use super::{
    core::message_from,
    link::{Link, backoff},
};
use crate::bus::Message;
use async_nats::Subscriber;
use futures_util::StreamExt;
use std::{sync::atomic::Ordering::Relaxed, time::Duration};
use tokio::time::{Instant, sleep, timeout_at};

/// How long it is counted what comes, and how long a silence says that no more will: longer
/// than a busy machine lets this one wait for its turn.
const SILENCE_INTERVAL: Duration = Duration::from_millis(100);
/// How long the last one may take to come.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);
/// How many more messages are taken at least.
const SPARE: u64 = 16;
/// How many more are taken for each that came within a [`SILENCE_INTERVAL`]: the server has
/// to hear of the end before it has sent them, and hears within far less.
const AHEAD: u64 = 2;

/// A live subscription.
#[derive(Debug)]
pub(in crate::bus) struct Subscription {
    subscriber: Subscriber,
    /// What it listens to, and as one of which queue.
    asked: (String, Option<String>),
    link: Link,
    /// The connection it was made on: the server counts anew on each.
    connection: u64,
    taken: u64,
    phase: Phase,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    /// Until it is told to end.
    Open,
    /// What comes is counted.
    Gauging { until: Instant, before: u64 },
    /// It ends after a number of messages that the server knows.
    Counting { until: Instant },
    /// The client was told to end it.
    Ended,
}

impl Subscription {
    pub(super) fn new(
        subscriber: Subscriber,
        (filter, queue): (&str, Option<&str>),
        link: &Link,
    ) -> Self {
        Self {
            subscriber,
            asked: (filter.to_owned(), queue.map(str::to_owned)),
            link: link.clone(),
            connection: connection(link),
            taken: 0,
            phase: Phase::Open,
        }
    }

    pub(in crate::bus) fn drain(&mut self) {
        let until = Instant::now() + SILENCE_INTERVAL;
        self.phase = Phase::Gauging { until, before: self.taken };
    }

    pub(in crate::bus) async fn next(&mut self) -> Option<Message> {
        let next = loop {
            let until = match self.phase {
                Phase::Ended => break self.subscriber.next().await,
                Phase::Open => match self.subscriber.next().await {
                    None if self.subscribe_again().await => continue,
                    next => break next,
                },
                Phase::Gauging { until, .. } => until,
                Phase::Counting { until } => until.min(Instant::now() + SILENCE_INTERVAL),
            };
            // Also where the next one is always there.
            if Instant::now() < until
                && let Ok(next) = timeout_at(until, self.subscriber.next()).await
            {
                break next;
            }
            self.phase = self.turn().await;
        };
        self.taken += u64::from(next.is_some());
        next.map(message_from)
    }

    /// Listens on the client that took the place of one that died; says whether there is one.
    /// Cancelled, it is done again.
    async fn subscribe_again(&mut self) -> bool {
        let mut failures = 0;
        while !self.link.is_closed() {
            if self.link.connected_by(Instant::now() + DRAIN_TIMEOUT).await {
                let (filter, queue) = &self.asked;
                if let Ok(subscriber) = self.link.listen(filter, queue.as_deref()).await {
                    self.subscriber = subscriber;
                    self.connection = connection(&self.link);
                    return true;
                }
            }
            sleep(backoff(failures)).await;
            failures += 1;
        }
        false
    }

    /// Goes on to the end; cancelled, it is done again.
    async fn turn(&mut self) -> Phase {
        if let Phase::Gauging { before, .. } = self.phase
            && self.taken > before
            && self.connection == connection(&self.link)
        {
            let last = self.taken + SPARE + AHEAD * (self.taken - before);
            self.subscriber.unsubscribe_after(last).await.ok();
            return Phase::Counting { until: Instant::now() + DRAIN_TIMEOUT };
        }
        // A connection that is gone brings nothing more either.
        self.subscriber.drain().await.ok();
        Phase::Ended
    }
}

/// Tells the connections of a link apart.
fn connection(link: &Link) -> u64 {
    link.client().statistics().connects.load(Relaxed)
}
