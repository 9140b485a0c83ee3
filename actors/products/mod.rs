//! What is sold, and for how much.
//!
//! A product is one event, `products.added`, on the key of the product's id;
//! the stream takes the first one only.

mod range;
mod rules;

use callboard::{Actor, Group, Strategy};
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
}
