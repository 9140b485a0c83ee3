use super::account::{Account, Charging};
use crate::log::Life;
use callboard::{Answer, Context, Failure};
use schemas::{
    Cents, OrderId,
    inventory::StockReserved,
    payments::{
        Charge, NotCharged, PaymentDeclined, PaymentRefunded, PaymentTaken, Receipt, Refund,
        Refunded,
    },
};

/// Takes money and gives it back.
#[derive(Debug)]
pub(super) struct Till {
    limit: Cents,
}

impl Till {
    pub(super) async fn open(limit: Cents) -> Result<Self, Failure> {
        Ok(Self { limit })
    }

    pub(super) async fn charge(&mut self, charge: Charge, ctx: &Context) -> Answer<Charge> {
        let Charge { order, amount } = charge;
        let (account, last) = account(&order, ctx).await?;
        if account.charge(amount, self.limit)? == Charging::Take {
            let taken = PaymentTaken { order: order.clone(), amount };
            ctx.publish(taken).after(last).await?;
        }
        Ok(Receipt { order, amount })
    }

    pub(super) async fn refund(&mut self, refund: Refund, ctx: &Context) -> Answer<Refund> {
        let order = refund.order;
        let (account, last) = account(&order, ctx).await?;
        match account {
            Account::Open | Account::Declined => Err(NotCharged { order }.into()),
            Account::Refunded(amount) => Ok(Refunded { order, amount }),
            Account::Paid(amount) => {
                let refunded = PaymentRefunded { order: order.clone(), amount };
                ctx.publish(refunded).after(last).await?;
                Ok(Refunded { order, amount })
            }
        }
    }

    pub(super) async fn stock_reserved(
        &mut self,
        reserved: StockReserved,
        ctx: &Context,
    ) -> Result<(), Failure> {
        let StockReserved { order, total: amount, .. } = reserved;
        if amount == Cents::ZERO {
            // Stock held by command: whoever asked for it charges too.
            return Ok(());
        }
        let (account, last) = account(&order, ctx).await?;
        if account != Account::Open {
            return Ok(());
        }
        match account.charge(amount, self.limit) {
            Ok(_) => {
                ctx.publish(PaymentTaken { order, amount })
                    .after(last)
                    .await?
            }
            Err(reason) => {
                let declined = PaymentDeclined { order, amount, reason };
                ctx.publish(declined).after(last).await?
            }
        };
        Ok(())
    }
}

async fn account(order: &OrderId, ctx: &Context) -> Result<(Account, u64), Failure> {
    let life = Life::whole(ctx, "payments", order.as_str()).await?;
    Ok((Account::of(&life), life.last()))
}
