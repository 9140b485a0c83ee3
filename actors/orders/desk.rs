use super::commands::{Cancel, Confirm};
use callboard::{Command, Context, Failure};
use schemas::{
    inventory::StockRefused,
    orders::{Cancellation, UnknownOrder},
    payments::{PaymentDeclined, PaymentTaken},
};

/// Ends orders, well or not.
#[derive(Debug)]
pub(super) struct Desk;

impl Desk {
    pub(super) async fn open() -> Result<Self, Failure> {
        Ok(Self)
    }

    pub(super) async fn payment_taken(
        &mut self,
        taken: PaymentTaken,
        ctx: &Context,
    ) -> Result<(), Failure> {
        end(Confirm { order: taken.order }, ctx).await
    }

    pub(super) async fn payment_declined(
        &mut self,
        declined: PaymentDeclined,
        ctx: &Context,
    ) -> Result<(), Failure> {
        let reason = Cancellation::PaymentDeclined(declined.reason);
        end(Cancel { order: declined.order, reason }, ctx).await
    }

    pub(super) async fn stock_refused(
        &mut self,
        refused: StockRefused,
        ctx: &Context,
    ) -> Result<(), Failure> {
        let reason = Cancellation::OutOfStock(refused.reason);
        end(Cancel { order: refused.order, reason }, ctx).await
    }
}

/// Ends an order; that it was never placed does not change by another attempt.
async fn end<C>(ending: C, ctx: &Context) -> Result<(), Failure>
where
    C: Command<Outcome = Result<(), UnknownOrder>>,
{
    ctx.call(ending).outcome().await?.map_err(Failure::discard)
}
