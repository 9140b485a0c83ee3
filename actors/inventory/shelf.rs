#![expect(
    clippy::unnecessary_wraps,
    reason = "the signature of a decision is fixed; not every one says no"
)]

use super::{
    closed::{Closed, Standing},
    commands::{Free, NotTaken, Ship, Take},
};
use callboard::{Decision, Infallible};
use schemas::{
    OrderId, ProductId,
    inventory::{
        GetStock, OutOfStock, Stock, StockAdded, StockFreed, StockHeld, StockLevel, StockShipped,
    },
};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// The stock of one product: it holds the orders that have some of it put aside,
/// and knows only the last of those that it is done with.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Shelf {
    available: u64,
    reserved: u64,
    held: HashMap<OrderId, u32>,
    /// Orders that got theirs or never will: a clerk who comes late takes nothing.
    closed: Closed,
}

impl Shelf {
    pub(super) fn stock(&self, stock: Stock) -> Result<(StockAdded, StockLevel), Infallible> {
        let Stock { product, quantity } = stock;
        let mut level = self.count(product.clone());
        level.available = narrow(self.available + u64::from(quantity));
        Ok((StockAdded { product, quantity }, level))
    }

    pub(super) fn level(&self, get: GetStock) -> Result<Decision<StockLevel>, Infallible> {
        Ok(Decision::nothing().reply(self.count(get.product)))
    }

    /// Puts some aside for an order that was open when so many were closed, and
    /// replies how many are now.
    pub(super) fn take(&self, take: Take) -> Result<Decision<u64>, NotTaken> {
        let Take { product, order, quantity: wanted, since } = take;
        let closed = self.closed.count();
        if self.held.contains_key(&order) {
            return Ok(Decision::nothing().reply(closed));
        }
        let available = match self.closed.standing(&order, since) {
            Standing::Open => self.available,
            Standing::Closed => 0,
            Standing::Unknown => return Err(NotTaken::Outdated { closed }),
        };
        match u32::try_from(wanted) {
            Ok(quantity) if wanted <= available => {
                Ok((StockHeld { product, order, quantity }, closed).into())
            }
            _ => Err(NotTaken::Short(OutOfStock {
                product,
                wanted: narrow(wanted),
                available: narrow(available),
            })),
        }
    }

    pub(super) fn free(&self, free: Free) -> Result<Decision<()>, Infallible> {
        let Free { product, order } = free;
        let quantity = match self.held.get(&order) {
            Some(&quantity) => quantity,
            None if self.closed.knows(&order) => return Ok(Decision::nothing()),
            // Somebody may be about to take some for it.
            None => 0,
        };
        Ok(StockFreed { product, order, quantity }.into())
    }

    pub(super) fn ship(&self, ship: Ship) -> Result<Decision<()>, Infallible> {
        let Ship { product, order } = ship;
        let Some(&quantity) = self.held.get(&order) else {
            return Ok(Decision::nothing());
        };
        Ok(StockShipped { product, order, quantity }.into())
    }

    pub(super) fn added(&mut self, added: &StockAdded) {
        self.available += u64::from(added.quantity);
    }

    pub(super) fn held(&mut self, held: &StockHeld) {
        self.available = self.available.saturating_sub(held.quantity.into());
        let before = self.held.insert(held.order.clone(), held.quantity);
        self.reserved += u64::from(held.quantity);
        self.reserved -= u64::from(before.unwrap_or_default());
    }

    pub(super) fn freed(&mut self, freed: &StockFreed) {
        let back = self.close(&freed.order);
        self.available += u64::from(back);
    }

    pub(super) fn shipped(&mut self, shipped: &StockShipped) {
        self.close(&shipped.order);
    }

    /// Lets an order take nothing any more; returns what was put aside for it.
    fn close(&mut self, order: &OrderId) -> u32 {
        self.closed.add(order);
        let back = self.held.remove(order).unwrap_or_default();
        self.reserved -= u64::from(back);
        back
    }

    fn count(&self, product: ProductId) -> StockLevel {
        StockLevel {
            product,
            available: narrow(self.available),
            reserved: narrow(self.reserved),
        }
    }
}

fn narrow(count: u64) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use callboard::message::codec;

    fn take(order: &str, since: u64) -> Take {
        Take { product: "tea".into(), order: order.into(), quantity: 1, since }
    }

    #[test]
    fn who_comes_late_takes_nothing_however_many_orders_are_done_since() {
        let mut shelf = Shelf::default();
        shelf.added(&StockAdded { product: "tea".into(), quantity: 20_000 });
        for n in 0..10_000 {
            let (product, order) = (ProductId::new("tea"), OrderId::new(format!("o-{n}")));
            let quantity = 1;
            shelf.held(&StockHeld { product: product.clone(), order: order.clone(), quantity });
            shelf.shipped(&StockShipped { product, order, quantity });
            if n % 100 > 0 {
                continue;
            }
            for late in [0, n / 2, n] {
                let seen_open = late;
                let took = shelf.take(take(&format!("o-{late}"), seen_open));
                assert!(took.is_err(), "o-{late} was done, and now {n} others are");
            }
            let now = shelf.closed.count();
            assert!(shelf.take(take("new", now)).is_ok(), "an open one gets it");
        }
        let size = codec::encode(&shelf).expect("it is small").len();
        assert!(size < 16_000, "{size} bytes after 10,000 orders");
    }
}
