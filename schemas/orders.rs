//! What was ordered, and what became of it.

use crate::{Cents, Line, OrderId, ProductId, UserId, inventory::OutOfStock, payments::Declined};
use callboard::{Command, Event, Infallible, Rejection, Subject};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// A customer wants something; stock and payment are still open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OrderPlaced {
    /// The order.
    pub order: OrderId,
    /// Who ordered.
    pub user: UserId,
    /// What was ordered.
    pub lines: Vec<Line>,
    /// What it costs.
    pub total: Cents,
    /// How it is paid.
    #[serde(default)]
    pub pay: Payment,
}

impl Event for OrderPlaced {
    const SUBJECT: Subject = Subject::new("orders.placed");

    fn key(&self) -> Cow<'_, str> {
        self.order.as_str().into()
    }
}

/// An order is reserved and paid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OrderConfirmed {
    /// The order.
    pub order: OrderId,
    /// Who ordered.
    pub user: UserId,
    /// What was paid.
    pub total: Cents,
}

impl Event for OrderConfirmed {
    const SUBJECT: Subject = Subject::new("orders.confirmed");

    fn key(&self) -> Cow<'_, str> {
        self.order.as_str().into()
    }
}

/// An order came to nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OrderCancelled {
    /// The order.
    pub order: OrderId,
    /// Who ordered.
    pub user: UserId,
    /// Why.
    pub reason: Cancellation,
}

impl Event for OrderCancelled {
    const SUBJECT: Subject = Subject::new("orders.cancelled");

    fn key(&self) -> Cow<'_, str> {
        self.order.as_str().into()
    }
}

/// Places an order; the same order again is the same order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PlaceOrder {
    /// The order's id, chosen by the client.
    pub order: OrderId,
    /// Who orders.
    pub user: UserId,
    /// What is ordered.
    pub lines: Vec<Line>,
    /// How it is paid; by card if it is not said.
    #[serde(default)]
    pub pay: Payment,
}

impl Command for PlaceOrder {
    const SUBJECT: Subject = Subject::new("orders.place");
    type Outcome = Result<Order, PlaceRejected>;

    fn key(&self) -> Cow<'_, str> {
        self.order.as_str().into()
    }
}

/// Looks an order up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GetOrder {
    /// The order.
    pub order: OrderId,
}

impl Command for GetOrder {
    const SUBJECT: Subject = Subject::new("orders.get");
    const READ_ONLY: bool = true;
    type Outcome = Result<Order, UnknownOrder>;

    fn key(&self) -> Cow<'_, str> {
        self.order.as_str().into()
    }
}

/// Lists a user's orders.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ListOrders {
    /// Who ordered.
    pub user: UserId,
}

impl Command for ListOrders {
    const SUBJECT: Subject = Subject::new("orders.list");
    const READ_ONLY: bool = true;
    type Outcome = Result<OrderList, Infallible>;

    fn key(&self) -> Cow<'_, str> {
        self.user.as_str().into()
    }
}

/// Tells what was sold, day by day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ListSales {
    /// How many days on which something was sold; at most 100 are told.
    pub days: u32,
}

impl Command for ListSales {
    const SUBJECT: Subject = Subject::new("orders.sales");
    const READ_ONLY: bool = true;
    type Outcome = Result<SalesList, Infallible>;
}

/// What was sold, by day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SalesList {
    /// The latest day first; days without sales are left out.
    pub days: Vec<Sales>,
}

/// What was sold on one day: the orders that were confirmed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Sales {
    /// The day in UTC, such as `2026-01-31`.
    pub day: String,
    /// How many orders.
    pub orders: u64,
    /// What they cost together.
    pub total: Cents,
}

/// An order as it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Order {
    /// The order's id.
    pub order: OrderId,
    /// Who ordered.
    pub user: UserId,
    /// What was ordered.
    pub lines: Vec<Line>,
    /// What it costs.
    pub total: Cents,
    /// How it is paid.
    #[serde(default)]
    pub pay: Payment,
    /// What became of it.
    pub status: OrderStatus,
}

/// A user's orders.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OrderList {
    /// The latest first, at most 100 of them.
    pub orders: Vec<Order>,
}

/// How an order is paid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Payment {
    /// It is charged at once.
    #[default]
    Card,
    /// It is looked at first, and charged by the customer then.
    Invoice,
}

/// What became of an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OrderStatus {
    /// Stock and payment are still open.
    Placed,
    /// It is reserved and paid.
    Confirmed,
    /// It came to nothing.
    Cancelled {
        /// Why.
        reason: Cancellation,
    },
}

/// Why an order came to nothing; reads as the end of a sentence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Cancellation {
    /// Something was short.
    #[error("out of stock: {0}")]
    OutOfStock(OutOfStock),
    /// It could not be charged.
    #[error("payment declined: {0}")]
    PaymentDeclined(Declined),
    /// Nobody said in time that it is no fraud.
    #[error("not cleared of fraud in time")]
    NotCleared,
    /// Its bill was not paid in time.
    #[error("not paid in time")]
    Unpaid,
    /// Somebody called it off, or it could not go on.
    #[error("called off: {reason}")]
    CalledOff {
        /// Why.
        reason: String,
    },
}

impl Rejection for Cancellation {}

/// Why an order was not placed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum PlaceRejected {
    /// There is no such user.
    #[error("there is no user `{user}`; register first")]
    UnknownUser {
        /// Who should have ordered.
        user: UserId,
    },
    /// There is no such product.
    #[error("there is no product `{product}`")]
    UnknownProduct {
        /// The first product that is not known.
        product: ProductId,
    },
    /// Nothing is ordered.
    #[error("the order has no lines")]
    NoLines,
    /// None of a product is ordered.
    #[error("the quantity of `{product}` is zero")]
    ZeroQuantity {
        /// The first product of which none is ordered.
        product: ProductId,
    },
    /// There is an order of this id with another content.
    #[error("there is another order `{order}`; choose another id")]
    IdTaken {
        /// The order that is there.
        order: OrderId,
    },
}

impl Rejection for PlaceRejected {}

/// There is no such order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, thiserror::Error)]
#[error("there is no order `{order}`")]
pub struct UnknownOrder {
    /// What was asked for.
    pub order: OrderId,
}

impl Rejection for UnknownOrder {}
