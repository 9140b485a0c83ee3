use super::{
    commands::{Free, NotTaken, Request, Sell, Settle, Ship, Take},
    hold::{Claim, Stage},
};
use crate::is_key;
use callboard::{Answer, Context, Failure, message::Id};
use schemas::{
    Line, OrderId, ProductId,
    inventory::{Hold, OutOfStock, Reserve, StockReleased, StockRequested, StockSold},
    orders::OrderConfirmed,
};
use std::collections::{BTreeMap, HashMap};

/// The number of times a claim is read again for one message.
const ROUNDS: usize = 5;

/// The number of products that a clerk remembers.
const PRODUCTS: usize = 10_000;

/// Puts products aside, back, and out of the house, as an order's claim says.
///
/// All that it does can be done again, by it or by another: the commands' ids
/// follow from the event, and each product knows what an order had of it.
#[derive(Debug, Default)]
pub(super) struct Clerk {
    /// The number of orders that each product had closed when it replied last.
    seen: HashMap<ProductId, u64>,
}

impl Clerk {
    pub(super) async fn open() -> Result<Self, Failure> {
        Ok(Self::default())
    }

    pub(super) async fn reserve(&mut self, reserve: Reserve, ctx: &Context) -> Answer<Reserve> {
        let Reserve { order, lines: wanted } = reserve;
        let request = Request { order: order.clone(), lines: wanted.clone() };
        let Claim { lines, stage } = self.fill(request, ctx).await?;
        match stage {
            Stage::Held | Stage::Sold => Ok(Hold { order, lines }),
            Stage::Refused(reason) => Err(reason.into()),
            // What was given back is not held again.
            Stage::Released => Err(nothing_of(&wanted).into()),
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
        self.fill(Request { order, lines }, ctx).await?;
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

impl Clerk {
    /// Brings a claim to its end: all is held, or nothing is.
    async fn fill(&mut self, request: Request, ctx: &Context) -> Result<Claim, Failure> {
        let order = request.order.clone();
        let claim = self.settle(request, ctx).await?;
        if matches!(claim.stage, Stage::Refused(_) | Stage::Released) {
            free(&order, &claim.lines, ctx).await?;
        }
        Ok(claim)
    }

    async fn settle(&mut self, request: Request, ctx: &Context) -> Result<Claim, Failure> {
        for _ in 0..ROUNDS {
            // What is known of the products has to be older than what is known of the claim.
            let seen = self.seen_of(&request.lines);
            // Under a new id each time: the reply of before would tell of a claim of before.
            let claim = ctx.call(request.clone()).id(Id::new()).await?;
            if claim.stage != Stage::Wanted {
                return Ok(claim);
            }
            let order = request.order.clone();
            let short = match self.take(&order, (&claim.lines, &seen), ctx).await? {
                Taken::All => None,
                Taken::Short(short) => Some(short),
                Taken::Outdated => continue,
            };
            let settle = Settle { order, short };
            return Ok(ctx.call(settle).id(step(ctx, "settle")).await?);
        }
        let order = &request.order;
        Err(Failure::retry(format!(
            "order `{order}` could not be filled: others were done too fast"
        )))
    }

    /// Puts all products aside, as far as they are there.
    async fn take(
        &mut self,
        order: &OrderId,
        (lines, seen): (&[Line], &BTreeMap<ProductId, u64>),
        ctx: &Context,
    ) -> Result<Taken, Failure> {
        for (product, quantity) in sum(lines) {
            if !is_key(product.as_str()) {
                let wanted = u32::try_from(quantity).unwrap_or(u32::MAX);
                let product = product.clone();
                return Ok(Taken::Short(OutOfStock { product, wanted, available: 0 }));
            }
            let since = seen.get(product).copied().unwrap_or_default();
            let id = step(ctx, &format!("take/{product}/{since}"));
            let (order, product) = (order.clone(), product.clone());
            let take = Take { product: product.clone(), order, quantity, since };
            match ctx.call(take).id(id).outcome().await? {
                Ok(closed) => self.note(product, closed),
                Err(NotTaken::Short(short)) => return Ok(Taken::Short(short)),
                Err(NotTaken::Outdated { closed }) => {
                    self.note(product, closed);
                    return Ok(Taken::Outdated);
                }
            }
        }
        Ok(Taken::All)
    }

    /// Returns how many orders the products of these lines were done with, as known.
    fn seen_of(&self, lines: &[Line]) -> BTreeMap<ProductId, u64> {
        let products = lines.iter().map(|line| &line.product);
        products
            .filter_map(|product| Some((product.clone(), *self.seen.get(product)?)))
            .collect()
    }

    fn note(&mut self, product: ProductId, closed: u64) {
        if self.seen.len() >= PRODUCTS && !self.seen.contains_key(&product) {
            self.seen.clear();
        }
        let seen = self.seen.entry(product).or_default();
        *seen = closed.max(*seen);
    }
}

/// The outcome of taking products.
enum Taken {
    All,
    /// This is short, and none of what comes after it was taken.
    Short(OutOfStock),
    /// The claim was read too long ago for one of the products.
    Outdated,
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
