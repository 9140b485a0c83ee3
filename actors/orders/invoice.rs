use super::commands::{Cancel, Confirm};
use callboard::{Abort, Saga, Steps};
use schemas::{
    fraud::FraudCleared,
    inventory::{Release, Reserve},
    orders::{Cancellation, OrderPlaced, Payment},
    payments::{Bill, PaymentTaken, Void},
};
use std::time::Duration;

/// How long a person has to look at an order.
const CLEARED_WITHIN: Duration = Duration::from_hours(24);

/// How long the customer has to pay after that.
const PAID_WITHIN: Duration = Duration::from_mins(15);

/// Returns what is done for an order that is paid by invoice.
pub(super) fn saga() -> Saga<OrderPlaced, ()> {
    Saga::new("invoice", invoice)
        .on(|placed: OrderPlaced| (placed.pay == Payment::Invoice).then_some(placed))
        .hears(|cleared: &FraudCleared| cleared.order.to_string())
        .hears(|taken: &PaymentTaken| taken.order.to_string())
        .on_abort(Cancel::because)
}

/// Holds the stock, and confirms once the order is cleared and paid.
///
/// Whatever it ends with, what undoes the bill keeps no money: it voids the
/// account, which is one append, before or after the customer's.
async fn invoice(steps: &mut Steps, placed: OrderPlaced) -> Result<(), Abort> {
    let OrderPlaced { order, lines, total: amount, .. } = placed;
    let billed = steps
        .call(Bill { order: order.clone(), amount })
        .undo_anyway(Void { order: order.clone() })
        .await;
    if let Err(declined) = billed {
        steps.call(Void { order }).await?;
        return Err(declined.into());
    }
    steps
        .call(Reserve { order: order.clone(), lines })
        .undo_anyway(Release { order: order.clone() })
        .await?;
    let cleared = steps.wait_for::<FraudCleared>(order.as_str(), CLEARED_WITHIN);
    if cleared.await.is_none() {
        return Err(Cancellation::NotCleared.into());
    }
    let paid = steps.wait_for::<PaymentTaken>(order.as_str(), PAID_WITHIN);
    // Another amount was taken before there was a bill.
    if paid.await.is_none_or(|taken| taken.amount != amount) {
        return Err(Cancellation::Unpaid.into());
    }
    steps.pivot();
    steps.call(Confirm { order }).await?;
    Ok(())
}
