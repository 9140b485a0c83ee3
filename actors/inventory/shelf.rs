#![expect(
    clippy::unnecessary_wraps,
    reason = "the signature of a decision is fixed; not every one says no"
)]

use super::commands::{Free, Ship, Take};
use callboard::{Decision, Infallible};
use schemas::{
    OrderId, ProductId,
    inventory::{
        GetStock, OutOfStock, Stock, StockAdded, StockFreed, StockHeld, StockLevel, StockShipped,
    },
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};

/// How many orders a product remembers that get none of it any more: more than
/// can pass while a clerk is at one.
const CLOSED: usize = 10_000;

/// The stock of one product.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Shelf {
    available: u64,
    held: BTreeMap<OrderId, u32>,
    /// Orders that got theirs or never will, by their [`mark`]s: a clerk who
    /// comes late takes nothing.
    closed: VecDeque<u64>,
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

    pub(super) fn take(&self, take: Take) -> Result<Decision<()>, OutOfStock> {
        let Take { product, order, quantity: wanted } = take;
        if self.held.contains_key(&order) {
            return Ok(Decision::nothing());
        }
        let available = if self.is_closed(&order) {
            0
        } else {
            self.available
        };
        match u32::try_from(wanted) {
            Ok(quantity) if wanted <= available => {
                Ok(StockHeld { product, order, quantity }.into())
            }
            _ => Err(OutOfStock { product, wanted: narrow(wanted), available: narrow(available) }),
        }
    }

    pub(super) fn free(&self, free: Free) -> Result<Decision<()>, Infallible> {
        let Free { product, order } = free;
        if self.is_closed(&order) {
            return Ok(Decision::nothing());
        }
        let quantity = self.held.get(&order).copied().unwrap_or_default();
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
        self.held.insert(held.order.clone(), held.quantity);
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
        self.closed.push_back(mark(order));
        if self.closed.len() > CLOSED {
            self.closed.pop_front();
        }
        self.held.remove(order).unwrap_or_default()
    }

    fn is_closed(&self, order: &OrderId) -> bool {
        self.closed.contains(&mark(order))
    }

    fn count(&self, product: ProductId) -> StockLevel {
        let reserved = self
            .held
            .values()
            .map(|&quantity| u64::from(quantity))
            .sum();
        StockLevel { product, available: narrow(self.available), reserved: narrow(reserved) }
    }
}

/// Tells an order from others in few bytes, the same in every version (FNV-1a).
fn mark(order: &OrderId) -> u64 {
    let bytes = order.as_str().bytes();
    bytes.fold(0xcbf2_9ce4_8422_2325, |mark, byte| {
        (mark ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

fn narrow(count: u64) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
