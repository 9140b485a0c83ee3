//! What the sagas tell the orders; nobody else does.

use callboard::{Abort, Command, Subject};
use schemas::{
    OrderId,
    inventory::OutOfStock,
    orders::{Cancellation, OrderPlaced, UnknownOrder},
    payments::Declined,
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

impl Cancel {
    /// Cancels an order because of what its saga came to.
    pub(super) fn because(placed: OrderPlaced, abort: &Abort) -> Self {
        let declined = || abort.rejection::<Declined>();
        let reason = abort
            .rejection::<OutOfStock>()
            .map(Cancellation::OutOfStock)
            .or_else(|| declined().map(Cancellation::PaymentDeclined))
            .or_else(|| abort.rejection::<Cancellation>())
            .unwrap_or_else(|| Cancellation::CalledOff { reason: abort.reason().to_owned() });
        Self { order: placed.order, reason }
    }
}

#[cfg(test)]
mod tests {
    use super::Cancel;
    use callboard::Abort;
    use schemas::{
        Cents,
        inventory::OutOfStock,
        orders::{Cancellation, OrderPlaced, Payment},
        payments::Declined,
    };

    #[test]
    fn an_order_is_cancelled_for_what_its_saga_came_to() {
        let short = OutOfStock { product: "tea".into(), wanted: 2, available: 1 };
        let called_off = Cancellation::CalledOff { reason: "enough".to_owned() };
        for (abort, reason) in [
            (short.clone().into(), Cancellation::OutOfStock(short)),
            (
                Declined::Void.into(),
                Cancellation::PaymentDeclined(Declined::Void),
            ),
            (Cancellation::Unpaid.into(), Cancellation::Unpaid),
            (Abort::new("enough"), called_off),
        ] {
            let placed = OrderPlaced {
                order: "o-1".into(),
                user: "ada".into(),
                lines: Vec::new(),
                total: Cents::ZERO,
                pay: Payment::Card,
            };
            assert_eq!(Cancel::because(placed, &abort).reason, reason);
        }
    }
}
