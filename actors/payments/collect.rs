use callboard::{Command, Subject};
use schemas::{
    Cents, OrderId,
    payments::{Declined, Receipt},
};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// Charges an order; the till's own word.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Collect {
    pub(super) order: OrderId,
    pub(super) amount: Cents,
}

impl Command for Collect {
    const SUBJECT: Subject = Subject::new("payments.collect");
    type Outcome = Result<Receipt, Declined>;

    fn key(&self) -> Cow<'_, str> {
        self.order.as_str().into()
    }
}
