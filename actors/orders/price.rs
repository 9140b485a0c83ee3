//! What is found out before an order is decided on.

use crate::is_key;
use callboard::{Context, Refusal};
use schemas::{
    Cents, Line,
    orders::{GetOrder, PlaceOrder, PlaceRejected, UnknownOrder},
    products::GetProduct,
    users::GetUser,
};

/// Asks whether all is known that is ordered, and what it costs.
pub(super) async fn price(
    place: &PlaceOrder,
    ctx: &Context,
) -> Result<Cents, Refusal<PlaceRejected>> {
    let PlaceOrder { user, lines, .. } = place;
    check(lines)?;
    let asked = ctx.call(GetUser { user: user.clone() });
    if asked.outcome().await?.is_err() {
        return Err(PlaceRejected::UnknownUser { user: user.clone() }.into());
    }
    let mut prices = Vec::with_capacity(lines.len());
    for Line { product, quantity } in lines {
        let asked = ctx.call(GetProduct { product: product.clone() });
        let Ok(found) = asked.outcome().await? else {
            return Err(PlaceRejected::UnknownProduct { product: product.clone() }.into());
        };
        prices.push(found.price.times(*quantity));
    }
    Ok(prices.into_iter().sum())
}

/// Finds out that no order can have the id.
pub(super) async fn is_id(get: &GetOrder, _: &Context) -> Result<(), Refusal<UnknownOrder>> {
    if !is_key(get.order.as_str()) {
        return Err(UnknownOrder { order: get.order.clone() }.into());
    }
    Ok(())
}

/// Checks what can be checked without asking anybody.
fn check(lines: &[Line]) -> Result<(), PlaceRejected> {
    if lines.is_empty() {
        return Err(PlaceRejected::NoLines);
    }
    if let Some(line) = lines.iter().find(|line| line.quantity == 0) {
        return Err(PlaceRejected::ZeroQuantity { product: line.product.clone() });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::check;
    use schemas::{Line, orders::PlaceRejected};

    #[test]
    fn an_order_has_lines_and_each_of_them_a_quantity() {
        let zero = PlaceRejected::ZeroQuantity { product: "jam".into() };
        assert_eq!(check(&[]), Err(PlaceRejected::NoLines));
        assert_eq!(
            check(&[Line::new("tea", 1), Line::new("jam", 0)]),
            Err(zero)
        );
        assert_eq!(check(&[Line::new("tea", 1)]), Ok(()));
    }
}
