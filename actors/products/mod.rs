//! What is sold, and for how much.
//!
//! The entity `product` is added once; the same again is the same product.

mod product;
mod rules;

use callboard::{Entity, Group, Strategy};
use product::{Product, is_id, new};
use std::time::Duration;

/// Returns the domain's table.
pub fn group() -> Group {
    let product = Entity::new("product", Product::default)
        .decide_with(new, Product::add)
        .decide_with(is_id, Product::get)
        .apply(Product::added);
    Group::new("products")
        .strategy(Strategy::OneForOne)
        .intensity(10, Duration::from_secs(10))
        .child(product)
}
