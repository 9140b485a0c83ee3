use callboard::{Command, Infallible, Subject};
use schemas::{Cents, OrderId};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// Charges an order unless that was tried before; the till's own word.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Collect {
    pub(super) order: OrderId,
    pub(super) amount: Cents,
}

impl Command for Collect {
    const SUBJECT: Subject = Subject::new("payments.collect");
    type Outcome = Result<(), Infallible>;

    fn key(&self) -> Cow<'_, str> {
        self.order.as_str().into()
    }
}
