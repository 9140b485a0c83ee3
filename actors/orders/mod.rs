//! What was ordered, and what became of it.
//!
//! An order's life stands on its own key: placed, then confirmed or cancelled,
//! each published after the one before, so it ends once. The counter takes
//! orders in, the desk ends them when it hears how stock and payment went, and
//! the book tells what became of them.
//!
//! Two projections read the same events: each user's orders, in memory, and the
//! sales per day, in `SQLite`.

mod book;
mod by_user;
mod counter;
mod desk;
mod rules;
mod sales;

use book::Book;
use by_user::OrdersByUser;
use callboard::{Actor, Group, Projection, Strategy};
use counter::Counter;
use desk::Desk;
use sales::SalesPerDay;
use std::{path::Path, time::Duration};

/// Returns the domain's table; sales are kept in a directory, or in memory.
pub fn group(data: Option<&Path>) -> Group {
    Group::new("orders")
        .strategy(Strategy::OneForOne)
        .intensity(10, Duration::from_secs(10))
        .child(Actor::new("book", Book::open).answer(Book::get))
        .child(orders_by_user())
        .child(sales_per_day(data))
        .child(
            Actor::new("desk", Desk::open)
                .instances(4)
                .on(Desk::payment_taken)
                .on(Desk::payment_declined)
                .on(Desk::stock_refused),
        )
        // It waits for other domains' answers, hence more of them.
        .child(
            Actor::new("counter", Counter::open)
                .instances(8)
                .answer(Counter::place),
        )
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
