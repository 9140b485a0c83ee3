use super::rules::{admit, same_or_taken};
use crate::is_key;
use callboard::{Context, Decision, Refusal};
use schemas::products::{self, AddProduct, AddRejected, GetProduct, ProductAdded, UnknownProduct};

/// Something that is sold, once it was added.
#[derive(Clone, Debug, Default)]
pub(super) struct Product(Option<products::Product>);

/// Returns the product that is to be added, if its id is free.
pub(super) async fn new(
    add: &AddProduct,
    _: &Context,
) -> Result<products::Product, Refusal<AddRejected>> {
    Ok(admit(add.clone())?)
}

/// Finds out that no product can have the id.
pub(super) async fn is_id(get: &GetProduct, _: &Context) -> Result<(), Refusal<UnknownProduct>> {
    if !is_key(get.product.as_str()) {
        return Err(UnknownProduct { product: get.product.clone() }.into());
    }
    Ok(())
}

impl Product {
    pub(super) fn add(
        &self,
        _: AddProduct,
        new: products::Product,
    ) -> Result<Decision<products::Product>, AddRejected> {
        if let Some(old) = &self.0 {
            return Ok(Decision::nothing().reply(same_or_taken(old.clone(), &new)?));
        }
        let products::Product { product, name, price } = new.clone();
        Ok((ProductAdded { product, name, price }, new).into())
    }

    pub(super) fn get(
        &self,
        get: GetProduct,
        (): (),
    ) -> Result<Decision<products::Product>, UnknownProduct> {
        let found = self
            .0
            .clone()
            .ok_or(UnknownProduct { product: get.product })?;
        Ok(Decision::nothing().reply(found))
    }

    pub(super) fn added(&mut self, added: &ProductAdded) {
        let ProductAdded { product, name, price } = added.clone();
        self.0 = Some(products::Product { product, name, price });
    }
}
