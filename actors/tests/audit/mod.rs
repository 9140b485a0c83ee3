//! What the streams must tell, whoever died meanwhile.

#![allow(
    clippy::allow_attributes,
    reason = "an expectation fails where all is used"
)]
#![allow(dead_code, reason = "no test uses all of it")]

pub(crate) mod models;
mod money;
pub(crate) mod play;
mod sequence;
mod stock;

use callboard::{
    Client, Event, Heard,
    call::Operator,
    error::BoxError,
    message::{Envelope, Origin},
};
pub(crate) use money::Money;
use schemas::{
    Cents, OrderId,
    notifications::NotificationSent,
    orders::{OrderCancelled, OrderConfirmed, OrderPlaced},
};
use sequence::assert_in_sequence;
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
    /// What each confirmed order costs.
    owed: BTreeMap<OrderId, Cents>,
    dead_letters: usize,
    pub(crate) money: Money,
    pub(crate) stock: Stock,
}

impl Audit {
    /// Reads all streams.
    pub(crate) async fn of(client: &Client) -> Result<Self, BoxError> {
        let operator = Operator::new(client.bus().clone(), client.namespace().clone());
        let dead = operator.dead(1, 10).await?;
        let mut all = Vec::new();
        for domain in ["orders", "payments", "inventory", "notifications"] {
            all.extend(events(client, domain).await?);
        }
        Self::over(&all, dead.len())
    }

    /// Goes through what a replay heard.
    pub(crate) fn heard(heard: &Heard) -> Result<Self, BoxError> {
        let dead = heard.dead_letters().len() + heard.parked().len();
        Self::over(heard.envelopes(), dead)
    }

    /// Goes through all events, and fails where they cannot follow each other.
    fn over(events: &[Envelope], dead_letters: usize) -> Result<Self, BoxError> {
        assert_in_sequence(events)?;
        let placed: Vec<OrderPlaced> = only(events)?;
        let confirmed: Vec<OrderConfirmed> = only(events)?;
        let cancelled: Vec<OrderCancelled> = only(events)?;
        let told: Vec<NotificationSent> = only(events)?;
        let owed = confirmed.iter();
        Ok(Self {
            placed: placed.into_iter().map(|event| event.order).collect(),
            owed: owed
                .map(|event| (event.order.clone(), event.total))
                .collect(),
            confirmed: confirmed.into_iter().map(|event| event.order).collect(),
            cancelled: cancelled.into_iter().map(|event| event.order).collect(),
            told: told.into_iter().map(|event| event.order).collect(),
            dead_letters,
            money: Money::of(events)?,
            stock: Stock::of(events)?,
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
            "{} placed, {} confirmed, {} cancelled, {} paid, {} told",
            self.placed.len(),
            self.confirmed.len(),
            self.cancelled.len(),
            self.money.kept().len(),
            self.told.len()
        )
    }

    /// Checks that each order ended once, that its money is kept if it was
    /// confirmed and not if it was not, and that its customer was told once;
    /// and that no stock was lost.
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
        assert_eq!(self.money.kept(), self.owed);
        assert!(self.money.refunded().is_disjoint(&confirmed));
        assert_eq!(once(&self.told), self.placed);
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
