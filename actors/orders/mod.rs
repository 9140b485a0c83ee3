//! What was ordered, and what became of it.
//!
//! The entity `order` is placed, then confirmed or cancelled, once. The desk
//! ends orders when it hears how stock and payment went, and the book lists
//! them by user.

mod book;
mod commands;
mod desk;
mod order;
mod price;

use crate::RETRY;
use book::Book;
use callboard::{Actor, Entity, Group, Strategy};
use desk::Desk;
use order::Order;
use std::time::Duration;

/// Returns the domain's table.
pub fn group() -> Group {
    let order = Entity::new("order", Order::default)
        .decide_with(price::price, Order::place)
        .decide_with(price::is_id, Order::get)
        .decide(Order::confirm)
        .decide(Order::cancel)
        .apply(Order::placed)
        .apply(Order::confirmed)
        .apply(Order::cancelled);
    Group::new("orders")
        .strategy(Strategy::OneForOne)
        .intensity(10, Duration::from_secs(10))
        .child(order)
        .child(Actor::new("book", Book::open).answer(Book::list))
        .child(
            Actor::new("desk", Desk::open)
                .instances(4)
                .retry(RETRY)
                .on(Desk::payment_taken)
                .on(Desk::payment_declined)
                .on(Desk::stock_refused),
        )
}
