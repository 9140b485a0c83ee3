//! What the streams must tell, whoever died meanwhile.

#![allow(
    clippy::allow_attributes,
    reason = "an expectation fails where all is used"
)]
#![allow(dead_code, reason = "no test uses all of it")]

pub(crate) mod models;
mod stock;

use callboard::{
    Client, Event,
    call::Operator,
    error::BoxError,
    message::{Envelope, Origin},
};
use schemas::{
    OrderId,
    notifications::NotificationSent,
    orders::{OrderCancelled, OrderConfirmed, OrderPlaced},
    payments::{PaymentRefunded, PaymentTaken},
};
use std::collections::{BTreeMap, BTreeSet};
pub(crate) use stock::Stock;

/// All that happened in a domain, in order.
pub(crate) async fn events(
    client: &Client,
    domain: &'static str,
) -> Result<Vec<Envelope>, BoxError> {
    let name = client.namespace().event_stream(domain);
    let stream = client.events(domain).await?;
    let stored = stream.read(">", 1).await?.all().await?.into_iter();
    stored
        .map(|stored| {
            let origin = Origin {
                stream: &name,
                sequence: stored.sequence,
                subject: &stored.subject,
                time: stored.time,
            };
            Ok(Envelope::read(&stored.headers, origin, stored.payload)?)
        })
        .collect()
}

/// Returns those of one type.
pub(crate) fn only<E: Event>(events: &[Envelope]) -> Result<Vec<E>, BoxError> {
    let own = events
        .iter()
        .filter(|event| event.kind == E::SUBJECT.as_str());
    own.map(|event| Ok(event.event()?)).collect()
}

/// What became of all orders.
pub(crate) struct Audit {
    pub(crate) placed: BTreeSet<OrderId>,
    pub(crate) confirmed: Vec<OrderId>,
    pub(crate) cancelled: Vec<OrderId>,
    told: Vec<OrderId>,
    charged: Vec<OrderId>,
    refunded: Vec<OrderId>,
    dead_letters: usize,
    pub(crate) stock: Stock,
}

impl Audit {
    /// Reads all streams.
    pub(crate) async fn of(client: &Client) -> Result<Self, BoxError> {
        let operator = Operator::new(client.bus().clone(), client.namespace().clone());
        let dead = operator.dead(1, 10).await?;
        let orders = events(client, "orders").await?;
        let payments = events(client, "payments").await?;
        let told: Vec<NotificationSent> = only(&events(client, "notifications").await?)?;
        let placed: Vec<OrderPlaced> = only(&orders)?;
        let confirmed: Vec<OrderConfirmed> = only(&orders)?;
        let cancelled: Vec<OrderCancelled> = only(&orders)?;
        let charged: Vec<PaymentTaken> = only(&payments)?;
        let refunded: Vec<PaymentRefunded> = only(&payments)?;
        Ok(Self {
            placed: placed.into_iter().map(|event| event.order).collect(),
            confirmed: confirmed.into_iter().map(|event| event.order).collect(),
            cancelled: cancelled.into_iter().map(|event| event.order).collect(),
            told: told.into_iter().map(|event| event.order).collect(),
            charged: charged.into_iter().map(|event| event.order).collect(),
            refunded: refunded.into_iter().map(|event| event.order).collect(),
            dead_letters: dead.len(),
            stock: Stock::of(&events(client, "inventory").await?)?,
        })
    }

    /// Says what has still to happen; nothing if all is done.
    pub(crate) fn open(&self) -> Option<String> {
        let ended: BTreeSet<_> = self.confirmed.iter().chain(&self.cancelled).collect();
        let told: BTreeSet<_> = self.told.iter().collect();
        let open = self.placed.iter().filter(|order| !ended.contains(order));
        let untold = self.placed.iter().filter(|order| !told.contains(order));
        let (open, untold, held) = (open.count(), untold.count(), self.stock.held());
        (open + untold + held > 0)
            .then(|| format!("{open} orders are open, {untold} untold, {held} lines are held"))
    }

    /// Tells the sums.
    pub(crate) fn told(&self) -> String {
        format!(
            "{} placed, {} confirmed, {} cancelled, {} charged, {} told",
            self.placed.len(),
            self.confirmed.len(),
            self.cancelled.len(),
            self.charged.len(),
            self.told.len()
        )
    }

    /// Checks that each order ended once, with one charge if it was confirmed
    /// and none if not, and one notification; and that no stock was lost.
    pub(crate) fn assert_sound(&self) {
        assert_eq!(self.open(), None);
        assert_eq!(self.dead_letters, 0);
        let once = |orders: &[OrderId]| -> BTreeSet<OrderId> {
            let twice = twice(orders);
            assert!(twice.is_empty(), "twice: {twice:?}");
            orders.iter().cloned().collect()
        };
        let (confirmed, cancelled) = (once(&self.confirmed), once(&self.cancelled));
        assert!(confirmed.is_disjoint(&cancelled));
        assert_eq!(once(&self.charged), confirmed);
        assert_eq!(once(&self.told), self.placed);
        assert!(self.refunded.is_empty());
        self.stock.assert_sound();
        assert_eq!(self.stock.sold(), confirmed);
    }
}

/// Returns what is there more than once.
pub(crate) fn twice<T: Ord>(all: &[T]) -> Vec<&T> {
    let mut counts = BTreeMap::new();
    for one in all {
        *counts.entry(one).or_insert(0) += 1;
    }
    let twice = counts.into_iter().filter(|(_, count)| *count > 1);
    twice.map(|(one, _)| one).collect()
}
