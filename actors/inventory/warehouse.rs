use super::shelves::{Holding, Shelves};
use crate::log::View;
use callboard::{Answer, Context, Failure};
use schemas::{
    Cents, Line, OrderId,
    inventory::{
        GetStock, Hold, Release, Released, Reserve, Stock, StockAdded, StockRefused, StockReleased,
        StockReserved,
    },
    orders::OrderPlaced,
    payments::PaymentDeclined,
};

/// Holds stock for orders and gives it back.
#[derive(Debug, Default)]
pub(super) struct Warehouse {
    shelves: View<Shelves>,
}

impl Warehouse {
    pub(super) async fn open() -> Result<Self, Failure> {
        Ok(Self::default())
    }

    pub(super) async fn stock(&mut self, stock: Stock, ctx: &Context) -> Answer<Stock> {
        let Stock { product, quantity } = stock;
        let added = StockAdded { product: product.clone(), quantity };
        ctx.publish(added).await?;
        Ok(self.shelves.now(ctx).await?.level(&product))
    }

    pub(super) async fn get(&mut self, get: GetStock, ctx: &Context) -> Answer<GetStock> {
        Ok(self.shelves.now(ctx).await?.level(&get.product))
    }

    pub(super) async fn reserve(&mut self, reserve: Reserve, ctx: &Context) -> Answer<Reserve> {
        let Reserve { order, lines } = reserve;
        let shelves = self.shelves.now(ctx).await?;
        if let Some(Holding::Held(lines)) = shelves.holding(&order) {
            return Ok(Hold { order, lines: lines.clone() });
        }
        shelves.check(&lines)?;
        let reserved = StockReserved {
            order: order.clone(),
            lines: lines.clone(),
            // Nothing says what it costs: whoever asked charges too.
            total: Cents::ZERO,
        };
        ctx.publish(reserved).await?;
        Ok(Hold { order, lines })
    }

    pub(super) async fn release(&mut self, release: Release, ctx: &Context) -> Answer<Release> {
        let order = release.order;
        let lines = self.give_back(&order, ctx).await?;
        Ok(Released { order, lines })
    }

    pub(super) async fn order_placed(
        &mut self,
        placed: OrderPlaced,
        ctx: &Context,
    ) -> Result<(), Failure> {
        let OrderPlaced { order, lines, total, .. } = placed;
        let shelves = self.shelves.now(ctx).await?;
        if shelves.holding(&order).is_some() {
            return Ok(());
        }
        match shelves.check(&lines) {
            Ok(()) => ctx.publish(StockReserved { order, lines, total }).await?,
            Err(reason) => ctx.publish(StockRefused { order, reason }).await?,
        };
        Ok(())
    }

    pub(super) async fn payment_declined(
        &mut self,
        declined: PaymentDeclined,
        ctx: &Context,
    ) -> Result<(), Failure> {
        self.give_back(&declined.order, ctx).await?;
        Ok(())
    }

    /// Gives back what is held for an order, and returns what that was.
    async fn give_back(&mut self, order: &OrderId, ctx: &Context) -> Result<Vec<Line>, Failure> {
        let shelves = self.shelves.now(ctx).await?;
        let Some(Holding::Held(lines)) = shelves.holding(order) else {
            return Ok(Vec::new());
        };
        let lines = lines.clone();
        let released = StockReleased { order: order.clone(), lines: lines.clone() };
        ctx.publish(released).await?;
        Ok(lines)
    }
}
