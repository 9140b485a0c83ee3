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
use std::collections::BTreeSet;

/// How the orders of a rush ended, as far as the streams tell.
#[derive(Debug)]
pub(super) struct Tally {
    orders: Pages,
    notifications: Pages,
    open: BTreeSet<OrderId>,
    untold: BTreeSet<OrderId>,
    pub(super) confirmed: usize,
    pub(super) declined: usize,
    pub(super) out_of_stock: usize,
    pub(super) called_off: usize,
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
            untold: orders.clone(),
            open: orders,
            confirmed: 0,
            declined: 0,
            out_of_stock: 0,
            called_off: 0,
        })
    }

    /// Takes in what happened since the last look; returns whether that was anything of ours.
    pub(super) async fn look(&mut self) -> Result<bool, BoxError> {
        let before = (self.open.len(), self.untold.len());
        for event in self.orders.news().await? {
            self.ended(&event)?;
        }
        for event in self.notifications.news().await? {
            if let Some(NotificationSent { order, .. }) = read(&event)? {
                self.untold.remove(&order);
            }
        }
        Ok(before != (self.open.len(), self.untold.len()))
    }

    /// Returns the orders of which something is still missing.
    pub(super) fn missing(&self) -> BTreeSet<&OrderId> {
        self.open.union(&self.untold).collect()
    }

    fn ended(&mut self, event: &Envelope) -> Result<(), BoxError> {
        if let Some(OrderConfirmed { order, .. }) = read(event)? {
            self.confirmed += usize::from(self.open.remove(&order));
        } else if let Some(OrderCancelled { order, reason, .. }) = read(event)? {
            let is_ours = usize::from(self.open.remove(&order));
            match reason {
                Cancellation::OutOfStock(_) => self.out_of_stock += is_ours,
                Cancellation::PaymentDeclined(_) => self.declined += is_ours,
                _ => self.called_off += is_ours,
            }
        }
        Ok(())
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
