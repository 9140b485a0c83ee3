//! What the clerk tells the entities; nobody else does.

use super::hold::Claim;
use callboard::{Command, Infallible, Rejection, Subject};
use schemas::{Line, OrderId, ProductId, inventory::OutOfStock};
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, error::Error, fmt};

/// Puts some of a product aside for an order that is open; again, it is the same.
///
/// It replies how many orders the product is done with.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Take {
    pub(super) product: ProductId,
    pub(super) order: OrderId,
    /// The sum of lines, so wider than each of them.
    pub(super) quantity: u64,
    /// How many orders the product was done with, at a time before the order was
    /// last seen open.
    pub(super) since: u64,
}

/// Why nothing was put aside.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum NotTaken {
    Short(OutOfStock),
    /// Look again whether the order is open.
    Outdated {
        closed: u64,
    },
}

impl fmt::Display for NotTaken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short(short) => short.fmt(f),
            Self::Outdated { closed } => write!(
                f,
                "{closed} orders are done by now, too many to know whether this one is"
            ),
        }
    }
}

impl Error for NotTaken {}

impl Rejection for NotTaken {}

impl Command for Take {
    const SUBJECT: Subject = Subject::new("inventory.take");
    type Outcome = Result<u64, NotTaken>;

    fn key(&self) -> Cow<'_, str> {
        self.product.as_str().into()
    }
}

/// Puts back what is put aside of a product, and lets the order take no more.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Free {
    pub(super) product: ProductId,
    pub(super) order: OrderId,
}

impl Command for Free {
    const SUBJECT: Subject = Subject::new("inventory.free");
    type Outcome = Result<(), Infallible>;

    fn key(&self) -> Cow<'_, str> {
        self.product.as_str().into()
    }
}

/// Lets what is put aside of a product leave the house.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Ship {
    pub(super) product: ProductId,
    pub(super) order: OrderId,
}

impl Command for Ship {
    const SUBJECT: Subject = Subject::new("inventory.ship");
    type Outcome = Result<(), Infallible>;

    fn key(&self) -> Cow<'_, str> {
        self.product.as_str().into()
    }
}

/// Lays an order's claim, unless there is one; replies the one that there is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Request {
    pub(super) order: OrderId,
    pub(super) lines: Vec<Line>,
}

impl Command for Request {
    const SUBJECT: Subject = Subject::new("inventory.request");
    type Outcome = Result<Claim, Infallible>;

    fn key(&self) -> Cow<'_, str> {
        self.order.as_str().into()
    }
}

/// Says how the taking went; the first word counts, and is replied.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Settle {
    pub(super) order: OrderId,
    /// What is short, if something is.
    pub(super) short: Option<OutOfStock>,
}

impl Command for Settle {
    const SUBJECT: Subject = Subject::new("inventory.settle");
    type Outcome = Result<Claim, Infallible>;

    fn key(&self) -> Cow<'_, str> {
        self.order.as_str().into()
    }
}

/// Turns what is held for an order into what is sold; harmless if nothing is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Sell {
    pub(super) order: OrderId,
}

impl Command for Sell {
    const SUBJECT: Subject = Subject::new("inventory.sell");
    type Outcome = Result<(), Infallible>;

    fn key(&self) -> Cow<'_, str> {
        self.order.as_str().into()
    }
}
