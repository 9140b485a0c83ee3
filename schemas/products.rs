//! What is sold, and for how much.

use crate::{Cents, ProductId};
use callboard::{Command, Event, Infallible, Rejection, Subject};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// A new product is for sale.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProductAdded {
    /// The product.
    pub product: ProductId,
    /// What customers call it.
    pub name: String,
    /// What one costs.
    pub price: Cents,
}

impl Event for ProductAdded {
    const SUBJECT: Subject = Subject::new("products.added");

    fn key(&self) -> Cow<'_, str> {
        self.product.as_str().into()
    }
}

/// Adds a product to the range; the same again changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AddProduct {
    /// The product's id, chosen by the caller.
    pub product: ProductId,
    /// What customers call it.
    pub name: String,
    /// What one costs.
    pub price: Cents,
}

impl Command for AddProduct {
    const SUBJECT: Subject = Subject::new("products.add");
    type Outcome = Result<Product, AddRejected>;

    fn key(&self) -> Cow<'_, str> {
        self.product.as_str().into()
    }
}

/// Looks a product up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GetProduct {
    /// The product.
    pub product: ProductId,
}

impl Command for GetProduct {
    const SUBJECT: Subject = Subject::new("products.get");
    const READ_ONLY: bool = true;
    type Outcome = Result<Product, UnknownProduct>;

    fn key(&self) -> Cow<'_, str> {
        self.product.as_str().into()
    }
}

/// Lists what is for sale, with how much of it is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ListProducts {
    /// Where to go on: products whose id comes after this one. Without it, the
    /// list begins with the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<ProductId>,
}

impl Command for ListProducts {
    const SUBJECT: Subject = Subject::new("products.list");
    const READ_ONLY: bool = true;
    type Outcome = Result<Catalogue, Infallible>;
}

/// What is for sale.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Catalogue {
    /// In the order of their ids, at most 100 of them.
    pub offers: Vec<Offer>,
}

/// A product, and how many of it can be ordered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Offer {
    /// The product's id.
    pub product: ProductId,
    /// What customers call it.
    pub name: String,
    /// What one costs.
    pub price: Cents,
    /// How many can be ordered, as far as is known: an order may find fewer.
    pub available: u32,
}

/// A product that is for sale.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Product {
    /// The product's id.
    pub product: ProductId,
    /// What customers call it.
    pub name: String,
    /// What one costs.
    pub price: Cents,
}

/// Why a product was not added.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum AddRejected {
    /// There is another product of this id.
    #[error("there is another product `{product}`; choose another id")]
    AlreadyExists {
        /// The product that is there.
        product: ProductId,
    },
    /// The name is empty.
    #[error("the name is empty; say what customers call it")]
    EmptyName,
    /// The price is zero.
    #[error("the price is zero; nothing is given away")]
    ZeroPrice,
}

impl Rejection for AddRejected {}

/// There is no such product.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, thiserror::Error)]
#[error("there is no product `{product}`")]
pub struct UnknownProduct {
    /// What was asked for.
    pub product: ProductId,
}

impl Rejection for UnknownProduct {}
