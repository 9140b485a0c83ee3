use super::rules::{self, Ending};
use crate::log::Life;
use callboard::{Context, Failure};
use schemas::{
    OrderId,
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
        end(taken.order, None, ctx).await
    }

    pub(super) async fn payment_declined(
        &mut self,
        declined: PaymentDeclined,
        ctx: &Context,
    ) -> Result<(), Failure> {
        let reason = Cancellation::PaymentDeclined(declined.reason);
        end(declined.order, Some(reason), ctx).await
    }

    pub(super) async fn stock_refused(
        &mut self,
        refused: StockRefused,
        ctx: &Context,
    ) -> Result<(), Failure> {
        let reason = Cancellation::OutOfStock(refused.reason);
        end(refused.order, Some(reason), ctx).await
    }
}

/// Ends an order; a conflict means that its life went on, so it is tried again.
async fn end(order: OrderId, against: Option<Cancellation>, ctx: &Context) -> Result<(), Failure> {
    let life = Life::whole(ctx, "orders", order.as_str()).await?;
    let Some(placed) = rules::order(&life) else {
        return Err(Failure::discard(UnknownOrder { order }));
    };
    match rules::end(placed, against) {
        None => {}
        Some(Ending::Confirmed(event)) => {
            ctx.publish(event).after(life.last()).await?;
        }
        Some(Ending::Cancelled(event)) => {
            ctx.publish(event).after(life.last()).await?;
        }
    }
    Ok(())
}
