//! What is sold, and for how much.
//!
//! The entity `product` is added once; the same again is the same product. A
//! projection lists the products with their stock, which another domain tells.

mod catalogue;
mod product;
mod rules;

use callboard::{Entity, Group, Projection, Strategy};
use catalogue::Shown;
use product::{Product, is_id, new};
use std::time::Duration;

/// Returns the domain's table.
pub fn group() -> Group {
    Group::new("products")
        .strategy(Strategy::OneForOne)
        .intensity(10, Duration::from_secs(10))
        .child(product())
        .child(catalogue())
}

fn product() -> Entity<Product> {
    Entity::new("product", Product::default)
        .decide_with(new, Product::add)
        .decide_with(is_id, Product::get)
        .apply(Product::added)
}

fn catalogue() -> Projection<Shown> {
    Projection::new("catalogue", Shown::default)
        .fold(Shown::product_added)
        .fold(Shown::stock_added)
        .fold(Shown::stock_held)
        .fold(Shown::stock_freed)
        .answer(Shown::list)
        .checkpoint_every(10_000)
}
