//! What was ordered, and what became of it.
//!
//! The entity `order` is placed, then confirmed or cancelled, once. Which of the
//! two is up to a saga, `checkout` if it is paid by card and `invoice` if it is
//! paid later.
//!
//! Two projections read the same events: each user's orders, in memory, and the
//! sales per day, in `SQLite`.

mod by_user;
mod checkout;
mod commands;
mod invoice;
mod order;
mod price;
mod sales;

use by_user::OrdersByUser;
use callboard::{Entity, Group, Projection, Strategy};
use order::Order;
use sales::SalesPerDay;
use std::{path::Path, time::Duration};

/// The number of orders of a kind that are checked out at once. They meet at the stock of a
/// few products, where one is served after the other: with more of them at once, a
/// step would wait longer in line than its timeout, and be asked for again in vain.
const IN_FLIGHT: usize = 256;

/// Returns the domain's table; sales are kept in a directory, or in memory.
pub fn group(data: Option<&Path>) -> Group {
    Group::new("orders")
        .depends_on("users")
        .depends_on("products")
        .depends_on("inventory")
        .depends_on("payments")
        .strategy(Strategy::OneForOne)
        .intensity(10, Duration::from_secs(10))
        .child(order())
        .child(orders_by_user())
        .child(sales_per_day(data))
        .child(checkout::saga().in_flight(IN_FLIGHT))
        .child(invoice::saga().in_flight(IN_FLIGHT))
}

fn order() -> Entity<Order> {
    Entity::new("order", Order::default)
        .decide_with(price::price, Order::place)
        .decide_with(price::is_id, Order::get)
        .decide(Order::confirm)
        .decide(Order::cancel)
        .apply(Order::placed)
        .apply(Order::confirmed)
        .apply(Order::cancelled)
}

fn orders_by_user() -> Projection<OrdersByUser> {
    Projection::new("orders-by-user", OrdersByUser::default)
        .fold(OrdersByUser::placed)
        .fold(OrdersByUser::confirmed)
        .fold(OrdersByUser::cancelled)
        .answer(OrdersByUser::list)
        .checkpoint_every(10_000)
        // Who has just ordered looks for the order.
        .fresh_within(Duration::from_secs(1))
}

fn sales_per_day(data: Option<&Path>) -> Projection<SalesPerDay> {
    let file = data.map(|data| data.join("sales.sqlite"));
    Projection::kept("sales-per-day", move || SalesPerDay::open(file.as_deref()))
        .fold(SalesPerDay::confirmed)
        .answer(SalesPerDay::list)
}
