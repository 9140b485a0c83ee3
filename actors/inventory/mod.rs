//! What is in stock, and what of it is held for an order.
//!
//! There are two entities. `stock` counts one product: what is available, and
//! what is put aside for whom. `hold` is an order's claim on all its products:
//! wanted, then held or refused, then sold or released, each once. The clerk
//! carries out what a claim says, product by product. Whoever does that after a
//! crash, or beside another, comes to the same end, because the claim decides
//! and the products only follow: they are given back or shipped after that.
//!
//! A clerk who is slow may come to a product after the order is done with. So who
//! takes says since when the order was open: how many orders the product was done
//! with before the claim was read. The product knows its last thousand, and sends
//! who has older news back to the claim.

mod clerk;
mod closed;
mod commands;
mod hold;
mod shelf;

use crate::RETRY;
use callboard::{Actor, Entity, Group, Strategy};
use clerk::Clerk;
use hold::Holding;
use schemas::inventory::{
    StockAdded, StockFreed, StockHeld, StockRefused, StockReleased, StockRequested, StockReserved,
    StockShipped, StockSold,
};
use shelf::Shelf;
use std::time::Duration;

/// Returns the domain's table.
pub fn group() -> Group {
    Group::new("inventory")
        .strategy(Strategy::OneForOne)
        .intensity(10, Duration::from_secs(10))
        .child(stock())
        .child(hold())
        .child(
            Actor::new("clerk", Clerk::open)
                .instances(8)
                .retry(RETRY)
                .answer(Clerk::reserve)
                .on(Clerk::stock_requested)
                .on(Clerk::stock_released)
                .on(Clerk::order_confirmed)
                .on(Clerk::stock_sold),
        )
}

// A product and an order of one id share a subject, hence what each ignores.

fn stock() -> Entity<Shelf> {
    Entity::new("stock", Shelf::default)
        .decide(Shelf::stock)
        .decide(Shelf::level)
        .decide(Shelf::take)
        .decide(Shelf::free)
        .decide(Shelf::ship)
        .apply(Shelf::added)
        .apply(Shelf::held)
        .apply(Shelf::freed)
        .apply(Shelf::shipped)
        .ignore::<StockRequested>()
        .ignore::<StockReserved>()
        .ignore::<StockRefused>()
        .ignore::<StockReleased>()
        .ignore::<StockSold>()
        .snapshot_every(500)
        .snapshot_version(2)
}

fn hold() -> Entity<Holding> {
    Entity::new("hold", Holding::default)
        .decide(Holding::request)
        .decide(Holding::settle)
        .decide(Holding::release)
        .decide(Holding::sell)
        .apply(Holding::requested)
        .apply(Holding::reserved)
        .apply(Holding::refused)
        .apply(Holding::released)
        .apply(Holding::sold)
        .ignore::<StockAdded>()
        .ignore::<StockHeld>()
        .ignore::<StockFreed>()
        .ignore::<StockShipped>()
}
