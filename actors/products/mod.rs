//! What is sold, and for how much.
//!
//! A product is one event, `products.added`, on the key of the product's id;
//! the stream takes the first one only. A projection lists the products with
//! their stock, which another domain tells.

mod catalogue;
mod range;
mod rules;

use callboard::{Actor, Group, Projection, Strategy};
use catalogue::Shown;
use range::Range;
use std::time::Duration;

/// Returns the domain's table.
pub fn group() -> Group {
    Group::new("products")
        .strategy(Strategy::OneForOne)
        .intensity(10, Duration::from_secs(10))
        .child(
            Actor::new("range", Range::open)
                .instances(4)
                .answer(Range::add)
                .answer(Range::get),
        )
        .child(
            Projection::new("catalogue", Shown::default)
                .fold(Shown::product_added)
                .fold(Shown::stock_added)
                .fold(Shown::stock_reserved)
                .fold(Shown::stock_released)
                .answer(Shown::list)
                .checkpoint_every(10_000),
        )
}
