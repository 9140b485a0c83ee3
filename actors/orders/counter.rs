use super::rules;
use crate::log::Life;
use callboard::{Answer, Context, Failure, PublishError, Refusal};
use schemas::{
    Cents, Line,
    orders::{OrderPlaced, PlaceOrder, PlaceRejected},
    products::GetProduct,
    users::GetUser,
};

/// Takes orders in.
#[derive(Debug)]
pub(super) struct Counter;

impl Counter {
    pub(super) async fn open() -> Result<Self, Failure> {
        Ok(Self)
    }

    pub(super) async fn place(&mut self, place: PlaceOrder, ctx: &Context) -> Answer<PlaceOrder> {
        rules::check(&place.lines)?;
        loop {
            let life = Life::whole(ctx, "orders", place.order.as_str()).await?;
            if let Some(old) = rules::order(&life) {
                return Ok(rules::same_or_taken(old, &place)?);
            }
            let placed = price(place.clone(), ctx).await?;
            match ctx.publish(placed.clone()).after(life.last()).await {
                // Somebody else was faster: look what it is.
                Err(PublishError::Conflict { .. }) => {}
                outcome => return Ok(outcome.map(|_| rules::placed(placed))?),
            }
        }
    }
}

/// Asks whether all is known that is ordered, and what it costs.
async fn price(place: PlaceOrder, ctx: &Context) -> Result<OrderPlaced, Refusal<PlaceRejected>> {
    let PlaceOrder { order, user, lines } = place;
    if ctx
        .call(GetUser { user: user.clone() })
        .outcome()
        .await?
        .is_err()
    {
        return Err(PlaceRejected::UnknownUser { user }.into());
    }
    let mut prices = Vec::with_capacity(lines.len());
    for Line { product, quantity } in &lines {
        let asked = ctx.call(GetProduct { product: product.clone() });
        let Ok(found) = asked.outcome().await? else {
            return Err(PlaceRejected::UnknownProduct { product: product.clone() }.into());
        };
        prices.push(found.price.times(*quantity));
    }
    let total: Cents = prices.into_iter().sum();
    Ok(OrderPlaced { order, user, lines, total })
}
