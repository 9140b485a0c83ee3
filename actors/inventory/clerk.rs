use super::{
    commands::{Free, Request, Sell, Settle, Ship, Take},
    hold::{Claim, Stage},
};
use crate::is_key;
use callboard::{Answer, Context, Failure, message::Id};
use schemas::{
    Line, OrderId, ProductId,
    inventory::{Hold, OutOfStock, Reserve, StockReleased, StockRequested, StockSold},
    orders::OrderConfirmed,
};
use std::collections::BTreeMap;

/// Puts products aside, back, and out of the house, as an order's claim says.
///
/// All that it does can be done again, by it or by another: the commands' ids
/// follow from the event, and each product knows what an order had of it.
#[derive(Debug)]
pub(super) struct Clerk;

impl Clerk {
    pub(super) async fn open() -> Result<Self, Failure> {
        Ok(Self)
    }

    pub(super) async fn reserve(&mut self, reserve: Reserve, ctx: &Context) -> Answer<Reserve> {
        let Reserve { order, lines } = reserve;
        let Claim { lines, stage } = fill(Request { order: order.clone(), lines }, ctx).await?;
        match stage {
            Stage::Held | Stage::Sold => Ok(Hold { order, lines }),
            Stage::Refused(reason) => Err(reason.into()),
            // What was given back is not held again.
            Stage::Released => Err(nothing_of(&lines).into()),
            Stage::Wanted => {
                Err(Failure::retry(format!("order `{order}` is still being filled")).into())
            }
        }
    }

    pub(super) async fn stock_requested(
        &mut self,
        requested: StockRequested,
        ctx: &Context,
    ) -> Result<(), Failure> {
        let StockRequested { order, lines } = requested;
        fill(Request { order, lines }, ctx).await?;
        Ok(())
    }

    pub(super) async fn stock_released(
        &mut self,
        released: StockReleased,
        ctx: &Context,
    ) -> Result<(), Failure> {
        free(&released.order, &released.lines, ctx).await
    }

    pub(super) async fn order_confirmed(
        &mut self,
        confirmed: OrderConfirmed,
        ctx: &Context,
    ) -> Result<(), Failure> {
        let order = confirmed.order;
        ctx.call(Sell { order }).id(step(ctx, "sell")).await?;
        Ok(())
    }

    pub(super) async fn stock_sold(
        &mut self,
        sold: StockSold,
        ctx: &Context,
    ) -> Result<(), Failure> {
        for (product, _) in sum(&sold.lines) {
            let id = step(ctx, &format!("ship/{product}"));
            let ship = Ship { product: product.clone(), order: sold.order.clone() };
            ctx.call(ship).id(id).await?;
        }
        Ok(())
    }
}

/// Brings a claim to its end: all is held, or nothing is.
async fn fill(request: Request, ctx: &Context) -> Result<Claim, Failure> {
    let order = request.order.clone();
    let mut claim = ctx.call(request).id(step(ctx, "request")).await?;
    if claim.stage == Stage::Wanted {
        let short = take(&order, &claim.lines, ctx).await?;
        let settle = Settle { order: order.clone(), short };
        claim = ctx.call(settle).id(step(ctx, "settle")).await?;
    }
    if matches!(claim.stage, Stage::Refused(_) | Stage::Released) {
        free(&order, &claim.lines, ctx).await?;
    }
    Ok(claim)
}

/// Puts all products aside, as far as they are there; returns the first that is short.
async fn take(
    order: &OrderId,
    lines: &[Line],
    ctx: &Context,
) -> Result<Option<OutOfStock>, Failure> {
    for (product, quantity) in sum(lines) {
        if !is_key(product.as_str()) {
            let wanted = u32::try_from(quantity).unwrap_or(u32::MAX);
            return Ok(Some(OutOfStock {
                product: product.clone(),
                wanted,
                available: 0,
            }));
        }
        let id = step(ctx, &format!("take/{product}"));
        let take = Take { product: product.clone(), order: order.clone(), quantity };
        if let Err(short) = ctx.call(take).id(id).outcome().await? {
            return Ok(Some(short));
        }
    }
    Ok(None)
}

/// Puts all products back, also those that were never put aside: they may be
/// about to, by somebody who comes late.
async fn free(order: &OrderId, lines: &[Line], ctx: &Context) -> Result<(), Failure> {
    for (product, _) in sum(lines)
        .into_iter()
        .filter(|(product, _)| is_key(product.as_str()))
    {
        let id = step(ctx, &format!("free/{product}"));
        let free = Free { product: product.clone(), order: order.clone() };
        ctx.call(free).id(id).await?;
    }
    Ok(())
}

/// Says that there is nothing for an order any more.
fn nothing_of(lines: &[Line]) -> OutOfStock {
    let first = sum(lines).into_iter().next();
    let (product, wanted) = first.map_or_else(
        || (ProductId::new(""), 0),
        |(product, wanted)| (product.clone(), wanted),
    );
    let wanted = u32::try_from(wanted).unwrap_or(u32::MAX);
    OutOfStock { product, wanted, available: 0 }
}

/// Adds up the lines of each product.
fn sum(lines: &[Line]) -> BTreeMap<&ProductId, u64> {
    let mut wanted = BTreeMap::new();
    for Line { product, quantity } in lines {
        *wanted.entry(product).or_default() += u64::from(*quantity);
    }
    wanted
}

/// Names one step of what the message at hand asks for: the step has the same
/// id again when the message comes again, whatever came before it this time.
fn step(ctx: &Context, what: &str) -> Id {
    ctx.id().derived(&format!("inventory/{what}"), 0)
}
