use schemas::{
    Cents,
    products::{AddProduct, AddRejected, Product},
};

/// Returns the product that is to be added, if its id is free.
pub(super) fn admit(add: AddProduct) -> Result<Product, AddRejected> {
    if add.name.trim().is_empty() {
        return Err(AddRejected::EmptyName);
    }
    if add.price == Cents::ZERO {
        return Err(AddRejected::ZeroPrice);
    }
    Ok(Product { product: add.product, name: add.name, price: add.price })
}

/// Returns what was there before if it is the same product.
pub(super) fn same_or_taken(old: Product, new: &Product) -> Result<Product, AddRejected> {
    if old == *new {
        return Ok(old);
    }
    Err(AddRejected::AlreadyExists { product: old.product })
}
