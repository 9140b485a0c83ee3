//! What orders cost their buyers.

use crate::{Cents, OrderId};
use callboard::{Command, Event, Infallible, Rejection, Subject};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// An order was paid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PaymentTaken {
    /// The order.
    pub order: OrderId,
    /// What was paid.
    pub amount: Cents,
}

impl Event for PaymentTaken {
    const SUBJECT: Subject = Subject::new("payments.taken");

    fn key(&self) -> Cow<'_, str> {
        self.order.as_str().into()
    }
}

/// An order may be paid later: this much, and no other amount.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PaymentBilled {
    /// The order.
    pub order: OrderId,
    /// What is to be paid.
    pub amount: Cents,
}

impl Event for PaymentBilled {
    const SUBJECT: Subject = Subject::new("payments.billed");

    fn key(&self) -> Cow<'_, str> {
        self.order.as_str().into()
    }
}

/// An order was not paid, and takes no money any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PaymentVoided {
    /// The order.
    pub order: OrderId,
}

impl Event for PaymentVoided {
    const SUBJECT: Subject = Subject::new("payments.voided");

    fn key(&self) -> Cow<'_, str> {
        self.order.as_str().into()
    }
}

/// A payment was given back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PaymentRefunded {
    /// The order.
    pub order: OrderId,
    /// What was given back.
    pub amount: Cents,
}

impl Event for PaymentRefunded {
    const SUBJECT: Subject = Subject::new("payments.refunded");

    fn key(&self) -> Cow<'_, str> {
        self.order.as_str().into()
    }
}

/// Charges an order; the same order again is the same payment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Charge {
    /// The order.
    pub order: OrderId,
    /// What to take.
    pub amount: Cents,
}

impl Command for Charge {
    const SUBJECT: Subject = Subject::new("payments.charge");
    type Outcome = Result<Receipt, Declined>;

    fn key(&self) -> Cow<'_, str> {
        self.order.as_str().into()
    }
}

/// Lets an order be paid later, by whoever charges it; again, it is the same bill.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Bill {
    /// The order.
    pub order: OrderId,
    /// What is to be paid.
    pub amount: Cents,
}

impl Command for Bill {
    const SUBJECT: Subject = Subject::new("payments.bill");
    type Outcome = Result<Billed, Declined>;

    fn key(&self) -> Cow<'_, str> {
        self.order.as_str().into()
    }
}

/// Lets an order take no money any more, and gives back what was paid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Void {
    /// The order.
    pub order: OrderId,
}

impl Command for Void {
    const SUBJECT: Subject = Subject::new("payments.void");
    type Outcome = Result<Voided, Infallible>;

    fn key(&self) -> Cow<'_, str> {
        self.order.as_str().into()
    }
}

/// Gives an order's payment back; again, it is the same refund.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Refund {
    /// The order.
    pub order: OrderId,
}

impl Command for Refund {
    const SUBJECT: Subject = Subject::new("payments.refund");
    type Outcome = Result<Refunded, NotCharged>;

    fn key(&self) -> Cow<'_, str> {
        self.order.as_str().into()
    }
}

/// An order's payment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Receipt {
    /// The order.
    pub order: OrderId,
    /// What was paid.
    pub amount: Cents,
}

/// An order's bill.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Billed {
    /// The order.
    pub order: OrderId,
    /// What is to be paid.
    pub amount: Cents,
}

/// An order that takes no money any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Voided {
    /// The order.
    pub order: OrderId,
    /// What was given back, now or before.
    pub refunded: Cents,
}

/// A payment given back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Refunded {
    /// The order.
    pub order: OrderId,
    /// What was given back.
    pub amount: Cents,
}

/// Why a charge was declined.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Declined {
    /// The amount is over the limit of one charge.
    #[error("the amount is over the limit of {limit}")]
    OverLimit {
        /// The most that one charge may take.
        limit: Cents,
    },
    /// The order was charged another amount before.
    #[error("the order was charged {amount} before")]
    AlreadyCharged {
        /// What was taken.
        amount: Cents,
    },
    /// The order's bill is over another amount.
    #[error("the bill is over {billed}")]
    OtherAmount {
        /// What is to be paid.
        billed: Cents,
    },
    /// The order takes no money any more.
    #[error("nothing is to be paid any more")]
    Void,
}

impl Rejection for Declined {}

/// There is no payment to give back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, thiserror::Error)]
#[error("order `{order}` was never charged")]
pub struct NotCharged {
    /// The order.
    pub order: OrderId,
}

impl Rejection for NotCharged {}
