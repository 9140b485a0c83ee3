//! What is in stock, and what of it is held for an order.
//!
//! A product's events stand on the product's key, an order's on the order's:
//!
//! ```text
//! order    requested -> reserved -> sold | released
//!                    `> refused | released
//! product  added, held -> shipped | freed
//! ```

use crate::{Line, OrderId, ProductId};
use callboard::{Command, Event, Infallible, Rejection, Subject};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// Stock came in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StockAdded {
    /// The product.
    pub product: ProductId,
    /// How many came in.
    pub quantity: u32,
}

impl Event for StockAdded {
    const SUBJECT: Subject = Subject::new("inventory.added");

    fn key(&self) -> Cow<'_, str> {
        self.product.as_str().into()
    }
}

/// Some of a product is put aside for an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StockHeld {
    /// The product.
    pub product: ProductId,
    /// For whom.
    pub order: OrderId,
    /// How many of it.
    pub quantity: u32,
}

impl Event for StockHeld {
    const SUBJECT: Subject = Subject::new("inventory.held");

    fn key(&self) -> Cow<'_, str> {
        self.product.as_str().into()
    }
}

/// What was put aside of a product is for sale again, and the order gets none
/// of it any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StockFreed {
    /// The product.
    pub product: ProductId,
    /// For whom it was.
    pub order: OrderId,
    /// How many of it; 0 if none was put aside.
    pub quantity: u32,
}

impl Event for StockFreed {
    const SUBJECT: Subject = Subject::new("inventory.freed");

    fn key(&self) -> Cow<'_, str> {
        self.product.as_str().into()
    }
}

/// What was put aside of a product has left the house.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StockShipped {
    /// The product.
    pub product: ProductId,
    /// To whom.
    pub order: OrderId,
    /// How many of it.
    pub quantity: u32,
}

impl Event for StockShipped {
    const SUBJECT: Subject = Subject::new("inventory.shipped");

    fn key(&self) -> Cow<'_, str> {
        self.product.as_str().into()
    }
}

/// Stock is wanted for an order; all of it will be held, or nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StockRequested {
    /// The order.
    pub order: OrderId,
    /// What is wanted.
    pub lines: Vec<Line>,
}

impl Event for StockRequested {
    const SUBJECT: Subject = Subject::new("inventory.requested");

    fn key(&self) -> Cow<'_, str> {
        self.order.as_str().into()
    }
}

/// All lines of an order are held; it can be charged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StockReserved {
    /// The order.
    pub order: OrderId,
    /// What is held.
    pub lines: Vec<Line>,
}

impl Event for StockReserved {
    const SUBJECT: Subject = Subject::new("inventory.reserved");

    fn key(&self) -> Cow<'_, str> {
        self.order.as_str().into()
    }
}

/// An order cannot be held; nothing of it stays put aside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StockRefused {
    /// The order.
    pub order: OrderId,
    /// What is short.
    pub reason: OutOfStock,
}

impl Event for StockRefused {
    const SUBJECT: Subject = Subject::new("inventory.refused");

    fn key(&self) -> Cow<'_, str> {
        self.order.as_str().into()
    }
}

/// What was held for an order was sold, and leaves the house.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StockSold {
    /// The order.
    pub order: OrderId,
    /// What was held.
    pub lines: Vec<Line>,
}

impl Event for StockSold {
    const SUBJECT: Subject = Subject::new("inventory.sold");

    fn key(&self) -> Cow<'_, str> {
        self.order.as_str().into()
    }
}

/// What was held for an order goes back on sale.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StockReleased {
    /// The order.
    pub order: OrderId,
    /// What was held; empty if it was not all held yet.
    pub lines: Vec<Line>,
}

impl Event for StockReleased {
    const SUBJECT: Subject = Subject::new("inventory.released");

    fn key(&self) -> Cow<'_, str> {
        self.order.as_str().into()
    }
}

/// Adds stock of a product.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Stock {
    /// The product.
    pub product: ProductId,
    /// How many came in.
    pub quantity: u32,
}

impl Command for Stock {
    const SUBJECT: Subject = Subject::new("inventory.stock");
    type Outcome = Result<StockLevel, Infallible>;

    fn key(&self) -> Cow<'_, str> {
        self.product.as_str().into()
    }
}

/// Holds all lines for an order, or none; the same order again is the same
/// hold, or the same refusal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reserve {
    /// The order.
    pub order: OrderId,
    /// What to hold.
    pub lines: Vec<Line>,
}

impl Command for Reserve {
    const SUBJECT: Subject = Subject::new("inventory.reserve");
    type Outcome = Result<Hold, OutOfStock>;

    fn key(&self) -> Cow<'_, str> {
        self.order.as_str().into()
    }
}

/// Gives back what is held for an order; harmless if nothing is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Release {
    /// The order.
    pub order: OrderId,
}

impl Command for Release {
    const SUBJECT: Subject = Subject::new("inventory.release");
    type Outcome = Result<Released, Infallible>;

    fn key(&self) -> Cow<'_, str> {
        self.order.as_str().into()
    }
}

/// Asks how much there is of a product; none of a product never stocked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GetStock {
    /// The product.
    pub product: ProductId,
}

impl Command for GetStock {
    const SUBJECT: Subject = Subject::new("inventory.get");
    const READ_ONLY: bool = true;
    type Outcome = Result<StockLevel, Infallible>;

    fn key(&self) -> Cow<'_, str> {
        self.product.as_str().into()
    }
}

/// How much there is of a product.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StockLevel {
    /// The product.
    pub product: ProductId,
    /// How many can be ordered.
    pub available: u32,
    /// How many are held for orders.
    pub reserved: u32,
}

/// What is held for an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Hold {
    /// The order.
    pub order: OrderId,
    /// What is held.
    pub lines: Vec<Line>,
}

/// What is no longer held for an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Released {
    /// The order.
    pub order: OrderId,
    /// What was held; empty if nothing was.
    pub lines: Vec<Line>,
}

/// There is too little of a product.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, thiserror::Error)]
#[error("{wanted} of `{product}` were wanted, {available} are there")]
pub struct OutOfStock {
    /// The first product that is short.
    pub product: ProductId,
    /// How many were wanted.
    pub wanted: u32,
    /// How many could be ordered.
    pub available: u32,
}

impl Rejection for OutOfStock {}
