use callboard::{
    Client, Event,
    bus::{Stream, StreamConfig},
    error::BoxError,
    message::{Envelope, Origin},
};
use schemas::{
    OrderId,
    notifications::NotificationSent,
    orders::{Cancellation, OrderCancelled, OrderConfirmed},
};
use std::collections::{BTreeMap, BTreeSet};

/// How the orders of a rush ended, as far as the streams tell.
#[derive(Debug)]
pub(super) struct Tally {
    orders: Pages,
    notifications: Pages,
    /// The orders that are not over, and what each waits for.
    missing: BTreeMap<OrderId, Awaited>,
    pub(super) confirmed: usize,
    pub(super) declined: usize,
    pub(super) out_of_stock: usize,
    pub(super) called_off: usize,
}

/// The parts of an order that are still to come: its end, and the word to its customer.
#[derive(Clone, Copy, Debug)]
struct Awaited {
    end: bool,
    notification: bool,
}

/// A stream, and how much of it was read.
#[derive(Debug)]
struct Pages {
    stream: Stream,
    name: String,
    seen: u64,
}

impl Tally {
    /// Begins at the end of the streams.
    pub(super) async fn begin(
        client: &Client,
        replicas: usize,
        orders: BTreeSet<OrderId>,
    ) -> Result<Self, BoxError> {
        Ok(Self {
            orders: Pages::at_end(client, "orders", replicas).await?,
            notifications: Pages::at_end(client, "notifications", replicas).await?,
            missing: orders
                .into_iter()
                .map(|order| (order, Awaited { end: true, notification: true }))
                .collect(),
            confirmed: 0,
            declined: 0,
            out_of_stock: 0,
            called_off: 0,
        })
    }

    /// Takes in what happened since the last look; returns whether that was anything of ours.
    pub(super) async fn look(&mut self) -> Result<bool, BoxError> {
        let mut is_ours = false;
        for event in self.orders.news().await? {
            is_ours |= self.ended(&event)?;
        }
        for event in self.notifications.news().await? {
            if let Some(NotificationSent { order, .. }) = read(&event)? {
                is_ours |= self.take(&order, |awaited| &mut awaited.notification);
            }
        }
        Ok(is_ours)
    }

    /// Returns how many orders are not over.
    pub(super) fn missing(&self) -> usize {
        self.missing.len()
    }

    /// Returns the orders that are not over.
    pub(super) fn missing_orders(&self) -> impl Iterator<Item = &OrderId> {
        self.missing.keys()
    }

    /// Notes that what an order waited for is there; returns whether it did wait.
    fn take(&mut self, order: &OrderId, what: impl Fn(&mut Awaited) -> &mut bool) -> bool {
        let Some(awaited) = self.missing.get_mut(order) else {
            return false;
        };
        let did_wait = std::mem::take(what(awaited));
        if !awaited.end && !awaited.notification {
            self.missing.remove(order);
        }
        did_wait
    }

    /// Counts how an order of ours ended; returns whether it was one.
    fn ended(&mut self, event: &Envelope) -> Result<bool, BoxError> {
        if let Some(OrderConfirmed { order, .. }) = read(event)? {
            let is_ours = self.take(&order, |awaited| &mut awaited.end);
            self.confirmed += usize::from(is_ours);
            return Ok(is_ours);
        }
        let Some(OrderCancelled { order, reason, .. }) = read(event)? else {
            return Ok(false);
        };
        let is_ours = self.take(&order, |awaited| &mut awaited.end);
        let count = match reason {
            Cancellation::OutOfStock(_) => &mut self.out_of_stock,
            Cancellation::PaymentDeclined(_) => &mut self.declined,
            _ => &mut self.called_off,
        };
        *count += usize::from(is_ours);
        Ok(is_ours)
    }
}

impl Pages {
    async fn at_end(client: &Client, domain: &str, replicas: usize) -> Result<Self, BoxError> {
        let config = StreamConfig::events(client.namespace(), domain).replicas(replicas);
        let stream = client.bus().stream(&config).await?;
        let seen = stream.info().await?.last_sequence;
        let name = client.namespace().event_stream(domain);
        Ok(Self { stream, name, seen })
    }

    async fn news(&mut self) -> Result<Vec<Envelope>, BoxError> {
        if self.stream.info().await?.last_sequence <= self.seen {
            return Ok(Vec::new());
        }
        let mut news = Vec::new();
        for stored in self.stream.read(">", self.seen + 1).await?.all().await? {
            self.seen = stored.sequence;
            let origin = Origin {
                stream: &self.name,
                sequence: stored.sequence,
                subject: &stored.subject,
                time: stored.time,
            };
            // Whoever publishes what is no event is none of the demo's business.
            news.extend(Envelope::read(&stored.headers, origin, stored.payload).ok());
        }
        Ok(news)
    }
}

/// Returns the event if it is of this type.
fn read<E: Event>(event: &Envelope) -> Result<Option<E>, BoxError> {
    if event.kind != E::SUBJECT.as_str() {
        return Ok(None);
    }
    Ok(Some(event.event()?))
}
