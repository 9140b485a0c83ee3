use callboard::{
    Answer,
    projection::{Lag, Seen},
};
use schemas::{
    Cents, LIST_LIMIT, ProductId,
    inventory::{StockAdded, StockFreed, StockHeld},
    products::{Catalogue, ListProducts, Offer, ProductAdded},
};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    ops::Bound::{Excluded, Unbounded},
};

/// What is for sale, with how much of it is there.
///
/// Products and stock are told by two domains, in no order between them: stock
/// may come first and waits here for its product.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Shown {
    products: BTreeMap<ProductId, Entry>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Entry {
    named: Option<(String, Cents)>,
    available: u64,
}

impl Shown {
    pub(super) fn product_added(&mut self, added: &ProductAdded, _: &Seen) {
        self.entry(&added.product).named = Some((added.name.clone(), added.price));
    }

    pub(super) fn stock_added(&mut self, added: &StockAdded, _: &Seen) {
        self.entry(&added.product).available += u64::from(added.quantity);
    }

    pub(super) fn stock_held(&mut self, held: &StockHeld, _: &Seen) {
        let entry = self.entry(&held.product);
        entry.available = entry.available.saturating_sub(u64::from(held.quantity));
    }

    pub(super) fn stock_freed(&mut self, freed: &StockFreed, _: &Seen) {
        self.entry(&freed.product).available += u64::from(freed.quantity);
    }

    pub(super) fn list(&self, list: &ListProducts, _: &Lag) -> Answer<ListProducts> {
        let after = list.after.as_ref().map_or(Unbounded, Excluded);
        let offers = self
            .products
            .range::<ProductId, _>((after, Unbounded))
            .filter_map(|(product, entry)| entry.offer(product))
            .take(LIST_LIMIT)
            .collect();
        Ok(Catalogue { offers })
    }

    fn entry(&mut self, product: &ProductId) -> &mut Entry {
        self.products.entry(product.clone()).or_default()
    }
}

impl Entry {
    fn offer(&self, product: &ProductId) -> Option<Offer> {
        let (name, price) = self.named.clone()?;
        let available = u32::try_from(self.available).unwrap_or(u32::MAX);
        Some(Offer { product: product.clone(), name, price, available })
    }
}
