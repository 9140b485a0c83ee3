//! What the desk tells the orders; nobody else does.

use callboard::{Command, Subject};
use schemas::{
    OrderId,
    orders::{Cancellation, UnknownOrder},
};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// Confirms an order; harmless if it has ended.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Confirm {
    pub(super) order: OrderId,
}

impl Command for Confirm {
    const SUBJECT: Subject = Subject::new("orders.confirm");
    type Outcome = Result<(), UnknownOrder>;

    fn key(&self) -> Cow<'_, str> {
        self.order.as_str().into()
    }
}

/// Cancels an order; harmless if it has ended.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Cancel {
    pub(super) order: OrderId,
    pub(super) reason: Cancellation,
}

impl Command for Cancel {
    const SUBJECT: Subject = Subject::new("orders.cancel");
    type Outcome = Result<(), UnknownOrder>;

    fn key(&self) -> Cow<'_, str> {
        self.order.as_str().into()
    }
}
