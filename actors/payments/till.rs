use super::collect::Collect;
use callboard::{Context, Failure};
use schemas::{Cents, inventory::StockReserved};

/// Asks for the money as soon as stock is held.
#[derive(Debug)]
pub(super) struct Till;

impl Till {
    pub(super) async fn open() -> Result<Self, Failure> {
        Ok(Self)
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
        ctx.call(Collect { order, amount }).await?;
        Ok(())
    }
}
