use super::commands::{Cancel, Confirm};
use callboard::{Abort, Saga, Steps};
use schemas::{
    inventory::{Release, Reserve},
    orders::{OrderPlaced, Payment},
    payments::{Charge, Void},
};
use std::time::Duration;

/// How long a charge is waited for before it is asked for again: under the same
/// id, so that a bank that is merely slow is not paid twice.
const CHARGE_WITHIN: Duration = Duration::from_secs(2);

/// Returns what is done for an order that is paid by card.
pub(super) fn saga() -> Saga<OrderPlaced, ()> {
    Saga::new("checkout", checkout)
        .on(|placed: OrderPlaced| (placed.pay == Payment::Card).then_some(placed))
        .on_abort(Cancel::because)
}

/// Holds the stock, takes the money, and confirms; or gives all of it back.
///
/// The commands that give it back need no reply, and do nothing if nothing was taken:
/// so they are also called where it is not known whether an attempt was handled.
async fn checkout(steps: &mut Steps, placed: OrderPlaced) -> Result<(), Abort> {
    let OrderPlaced { order, lines, total: amount, .. } = placed;
    steps
        .call(Reserve { order: order.clone(), lines })
        .undo_anyway(Release { order: order.clone() })
        .await?;
    steps
        .call(Charge { order: order.clone(), amount })
        .undo_anyway(Void { order: order.clone() })
        .timeout(CHARGE_WITHIN)
        .await?;
    steps.pivot();
    steps.call(Confirm { order }).await?;
    Ok(())
}
