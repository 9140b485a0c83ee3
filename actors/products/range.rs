use super::rules::{admit, same_or_taken};
use crate::log::Life;
use callboard::{Answer, Context, Failure, PublishError};
use schemas::{
    ProductId,
    products::{AddProduct, GetProduct, Product, ProductAdded, UnknownProduct},
};

/// Adds products to the range and looks them up.
#[derive(Debug)]
pub(super) struct Range;

impl Range {
    pub(super) async fn open() -> Result<Self, Failure> {
        Ok(Self)
    }

    pub(super) async fn add(&mut self, add: AddProduct, ctx: &Context) -> Answer<AddProduct> {
        let new = admit(add)?;
        loop {
            let (found, last) = find(&new.product, ctx).await?;
            if let Some(old) = found {
                return Ok(same_or_taken(old, &new)?);
            }
            let added = ProductAdded {
                product: new.product.clone(),
                name: new.name.clone(),
                price: new.price,
            };
            match ctx.publish(added).after(last).await {
                // Somebody else was faster: look what it is.
                Err(PublishError::Conflict { .. }) => {}
                outcome => return Ok(outcome.map(|_| new)?),
            }
        }
    }

    pub(super) async fn get(&mut self, get: GetProduct, ctx: &Context) -> Answer<GetProduct> {
        let (found, _) = find(&get.product, ctx).await?;
        Ok(found.ok_or(UnknownProduct { product: get.product })?)
    }
}

async fn find(product: &ProductId, ctx: &Context) -> Result<(Option<Product>, u64), Failure> {
    let life = Life::latest(ctx, "products", product.as_str()).await?;
    let found = life
        .find()
        .map(|ProductAdded { product, name, price }| Product { product, name, price });
    Ok((found, life.last()))
}
