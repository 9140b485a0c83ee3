//! What is in stock, and what of it is held for an order.
//!
//! An order needs several products at once, so one warehouse decides for all
//! of them, one message after another: host this group on one node. What it
//! knows is the sum of its own events; a fresh warehouse adds them up again.

mod shelves;
mod warehouse;

use callboard::{Actor, Group, Strategy};
use std::time::Duration;
use warehouse::Warehouse;

/// Returns the domain's table.
pub fn group() -> Group {
    Group::new("inventory")
        .strategy(Strategy::OneForOne)
        .intensity(10, Duration::from_secs(10))
        .child(
            Actor::new("warehouse", Warehouse::open)
                .instances(1)
                .answer(Warehouse::stock)
                .answer(Warehouse::reserve)
                .answer(Warehouse::release)
                .answer(Warehouse::get)
                .on(Warehouse::order_placed)
                .on(Warehouse::payment_declined),
        )
}
