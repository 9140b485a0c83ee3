use crate::log::{Fact, Fold};
use schemas::{
    Line, OrderId, ProductId,
    inventory::{OutOfStock, StockAdded, StockLevel, StockRefused, StockReleased, StockReserved},
};
use std::collections::{BTreeMap, HashMap};

/// What all events of the domain add up to.
#[derive(Debug, Default)]
pub(super) struct Shelves {
    products: HashMap<ProductId, Count>,
    orders: HashMap<OrderId, Holding>,
}

/// How many of a product there are; wider than any single delivery.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    available: u64,
    reserved: u64,
}

/// What an order's hold has come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Holding {
    /// This is held.
    Held(Vec<Line>),
    /// It was refused, or given back.
    Over,
}

impl Shelves {
    pub(super) fn level(&self, product: &ProductId) -> StockLevel {
        let count = self.products.get(product).copied().unwrap_or_default();
        StockLevel {
            product: product.clone(),
            available: narrow(count.available),
            reserved: narrow(count.reserved),
        }
    }

    pub(super) fn holding(&self, order: &OrderId) -> Option<&Holding> {
        self.orders.get(order)
    }

    /// Decides whether all lines can be held at once.
    pub(super) fn check(&self, lines: &[Line]) -> Result<(), OutOfStock> {
        let mut wanted: BTreeMap<&ProductId, u64> = BTreeMap::new();
        for line in lines {
            *wanted.entry(&line.product).or_default() += u64::from(line.quantity);
        }
        for (product, wanted) in wanted {
            let available = self
                .products
                .get(product)
                .map_or(0, |count| count.available);
            if wanted > available {
                return Err(OutOfStock {
                    product: product.clone(),
                    wanted: narrow(wanted),
                    available: narrow(available),
                });
            }
        }
        Ok(())
    }

    fn added(&mut self, added: StockAdded) {
        self.products.entry(added.product).or_default().available += u64::from(added.quantity);
    }

    fn reserved(&mut self, reserved: StockReserved) {
        for line in &reserved.lines {
            let count = self.products.entry(line.product.clone()).or_default();
            count.available = count.available.saturating_sub(line.quantity.into());
            count.reserved += u64::from(line.quantity);
        }
        self.orders
            .insert(reserved.order, Holding::Held(reserved.lines));
    }

    fn released(&mut self, released: StockReleased) {
        for line in &released.lines {
            let count = self.products.entry(line.product.clone()).or_default();
            count.reserved = count.reserved.saturating_sub(line.quantity.into());
            count.available += u64::from(line.quantity);
        }
        self.orders.insert(released.order, Holding::Over);
    }
}

impl Fold for Shelves {
    const DOMAIN: &'static str = "inventory";

    fn apply(&mut self, fact: &Fact) {
        if let Some(added) = fact.read::<StockAdded>() {
            self.added(added);
        } else if let Some(reserved) = fact.read::<StockReserved>() {
            self.reserved(reserved);
        } else if let Some(released) = fact.read::<StockReleased>() {
            self.released(released);
        } else if let Some(StockRefused { order, .. }) = fact.read() {
            self.orders.insert(order, Holding::Over);
        }
    }
}

fn narrow(count: u64) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::Shelves;
    use schemas::{
        Cents, Line,
        inventory::{OutOfStock, StockAdded, StockReleased, StockReserved},
    };

    fn level(shelves: &Shelves) -> (u32, u32) {
        let level = shelves.level(&"tea".into());
        (level.available, level.reserved)
    }

    #[test]
    fn lines_of_one_product_are_added_up_before_they_are_compared() {
        let mut shelves = Shelves::default();
        shelves.added(StockAdded { product: "tea".into(), quantity: 5 });
        let short = OutOfStock { product: "tea".into(), wanted: 6, available: 5 };
        let lines = |a, b| [Line::new("tea", a), Line::new("tea", b)];
        assert_eq!(shelves.check(&lines(3, 2)), Ok(()));
        assert_eq!(shelves.check(&lines(3, 3)), Err(short));
    }

    #[test]
    fn what_is_released_can_be_ordered_again() {
        let mut shelves = Shelves::default();
        let lines = vec![Line::new("tea", 3)];
        shelves.added(StockAdded { product: "tea".into(), quantity: 5 });
        shelves.reserved(StockReserved {
            order: "o-1".into(),
            lines: lines.clone(),
            total: Cents(3),
        });
        assert_eq!(level(&shelves), (2, 3));
        shelves.released(StockReleased { order: "o-1".into(), lines });
        assert_eq!(level(&shelves), (5, 0));
    }
}
