//! What was ordered, and what became of it.
//!
//! An order's life stands on its own key: placed, then confirmed or cancelled,
//! each published after the one before, so it ends once. The counter takes
//! orders in, the desk ends them when it hears how stock and payment went, and
//! the book tells what became of them.

mod book;
mod counter;
mod desk;
mod rules;

use book::Book;
use callboard::{Actor, Group, Strategy};
use counter::Counter;
use desk::Desk;
use std::time::Duration;

/// Returns the domain's table.
pub fn group() -> Group {
    Group::new("orders")
        .strategy(Strategy::OneForOne)
        .intensity(10, Duration::from_secs(10))
        .child(
            Actor::new("book", Book::open)
                .answer(Book::get)
                .answer(Book::list),
        )
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
