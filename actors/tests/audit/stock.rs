use super::only;
use callboard::{Event, error::BoxError, message::Envelope};
use schemas::{
    Line, OrderId, ProductId,
    inventory::{
        StockAdded, StockFreed, StockHeld, StockRefused, StockReleased, StockReserved,
        StockShipped, StockSold,
    },
};
use std::collections::{BTreeMap, BTreeSet};

/// What the events of `inventory` add up to.
#[derive(Debug, Default)]
pub(crate) struct Stock {
    products: BTreeMap<ProductId, Count>,
    /// What became of each order's share of each product.
    shares: BTreeMap<(OrderId, ProductId), Share>,
    reserved: BTreeMap<OrderId, Vec<Line>>,
    refused: BTreeSet<OrderId>,
    released: BTreeSet<OrderId>,
    sold: BTreeMap<OrderId, Vec<Line>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) added: u64,
    pub(crate) available: u64,
    held: u64,
    pub(crate) shipped: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Share {
    Held(u32),
    Freed,
    Shipped(u32),
}

impl Stock {
    /// Goes through the events, and fails where stock would be negative or
    /// something happens that cannot follow from what was before.
    pub(crate) fn of(events: &[Envelope]) -> Result<Self, BoxError> {
        let mut stock = Self::default();
        for event in events {
            stock.product(event)?;
        }
        for StockReserved { order, lines, .. } in only(events)? {
            assert!(stock.reserved.insert(order, lines).is_none(), "held twice");
        }
        for StockRefused { order, .. } in only(events)? {
            assert!(stock.refused.insert(order), "refused twice");
        }
        for StockReleased { order, .. } in only(events)? {
            assert!(stock.released.insert(order), "released twice");
        }
        for StockSold { order, lines } in only(events)? {
            assert!(stock.sold.insert(order, lines).is_none(), "sold twice");
        }
        Ok(stock)
    }

    fn product(&mut self, event: &Envelope) -> Result<(), BoxError> {
        if event.kind == StockAdded::SUBJECT.as_str() {
            let StockAdded { product, quantity } = event.event()?;
            let count = self.products.entry(product).or_default();
            count.added += u64::from(quantity);
            count.available += u64::from(quantity);
        } else if event.kind == StockHeld::SUBJECT.as_str() {
            let StockHeld { product, order, quantity } = event.event()?;
            let count = self.products.entry(product.clone()).or_default();
            moves(&mut count.available, &mut count.held, quantity);
            let before = self.shares.insert((order, product), Share::Held(quantity));
            assert_eq!(before, None, "held once, and not after it was freed");
        } else if event.kind == StockFreed::SUBJECT.as_str() {
            let StockFreed { product, order, quantity } = event.event()?;
            let count = self.products.entry(product.clone()).or_default();
            moves(&mut count.held, &mut count.available, quantity);
            let before = self.shares.insert((order, product), Share::Freed);
            let held = (quantity > 0).then_some(Share::Held(quantity));
            assert_eq!(before, held, "what is freed was held");
        } else if event.kind == StockShipped::SUBJECT.as_str() {
            let StockShipped { product, order, quantity } = event.event()?;
            let count = self.products.entry(product.clone()).or_default();
            moves(&mut count.held, &mut count.shipped, quantity);
            let share = Share::Shipped(quantity);
            let before = self.shares.insert((order, product), share);
            let held = Some(Share::Held(quantity));
            assert_eq!(before, held, "what is shipped was held");
        }
        Ok(())
    }

    /// Returns how many shares are neither shipped nor freed yet.
    pub(crate) fn held(&self) -> usize {
        let shares = self.shares.values();
        shares
            .filter(|share| matches!(share, Share::Held(_)))
            .count()
    }

    pub(crate) fn count(&self, product: &str) -> Count {
        self.products
            .get(&product.into())
            .copied()
            .unwrap_or_default()
    }

    /// Returns the orders whose stock was sold.
    pub(crate) fn sold(&self) -> BTreeSet<OrderId> {
        self.sold.keys().cloned().collect()
    }

    /// Returns whether an order's claim was held, refused or released.
    pub(crate) fn is_settled(&self, order: &OrderId) -> bool {
        self.reserved.contains_key(order)
            || self.refused.contains(order)
            || self.released.contains(order)
    }

    /// Returns how many orders' stock was held, refused and released.
    pub(crate) fn ways(&self) -> (usize, usize, usize) {
        (self.reserved.len(), self.refused.len(), self.released.len())
    }

    /// Checks, once all is quiet, that nothing is lost: what was held is sold
    /// or released, and what was sold, and only that, has left the house.
    pub(crate) fn assert_sound(&self) {
        assert_eq!(self.held(), 0);
        for (product, count) in &self.products {
            let all = count.available + count.held + count.shipped;
            assert_eq!((all, count.held), (count.added, 0), "{product}");
        }
        for order in self.reserved.keys() {
            let ways = (self.sold.contains_key(order), self.released.contains(order));
            assert!(ways.0 != ways.1, "{order} is sold, released: {ways:?}");
            assert!(!self.refused.contains(order), "{order}");
        }
        assert!(
            self.sold
                .keys()
                .all(|order| self.reserved.contains_key(order))
        );
        let mut shipped = self
            .sold
            .iter()
            .flat_map(|(order, lines)| lines.iter().map(move |line| (order, &line.product)));
        assert!(shipped.all(|(order, product)| {
            let share = self.shares.get(&(order.clone(), product.clone()));
            matches!(share, Some(Share::Shipped(_)))
        }));
        let left = |(order, _): &&(OrderId, ProductId)| !self.sold.contains_key(order);
        let stray = self.shares.iter().filter(|(share, _)| left(share));
        let mut stray = stray.filter(|(_, share)| matches!(share, Share::Shipped(_)));
        assert_eq!(stray.next(), None);
    }
}

/// Moves some of a product: what there is of it stays the same.
fn moves(from: &mut u64, to: &mut u64, quantity: u32) {
    let left = from.checked_sub(quantity.into());
    *from = left.expect("no more is moved than there is");
    *to += u64::from(quantity);
}
