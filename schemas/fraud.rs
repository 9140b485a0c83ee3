//! Who looks at orders that are paid later; nobody of the shop.

use crate::OrderId;
use callboard::{Event, Subject};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// Somebody looked at an order, and it is no fraud.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FraudCleared {
    /// The order.
    pub order: OrderId,
}

impl Event for FraudCleared {
    const SUBJECT: Subject = Subject::new("fraud.cleared");

    fn key(&self) -> Cow<'_, str> {
        self.order.as_str().into()
    }
}
