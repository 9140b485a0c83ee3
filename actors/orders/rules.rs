use crate::log::Life;
use schemas::{
    Line,
    orders::{
        Cancellation, Order, OrderCancelled, OrderConfirmed, OrderPlaced, OrderStatus, PlaceOrder,
        PlaceRejected,
    },
};

/// Checks what can be checked without asking anybody.
pub(super) fn check(lines: &[Line]) -> Result<(), PlaceRejected> {
    if lines.is_empty() {
        return Err(PlaceRejected::NoLines);
    }
    if let Some(line) = lines.iter().find(|line| line.quantity == 0) {
        return Err(PlaceRejected::ZeroQuantity { product: line.product.clone() });
    }
    Ok(())
}

/// Returns what was there before if it is the same order.
pub(super) fn same_or_taken(old: Order, place: &PlaceOrder) -> Result<Order, PlaceRejected> {
    if old.user == place.user && old.lines == place.lines {
        return Ok(old);
    }
    Err(PlaceRejected::IdTaken { order: old.order })
}

/// Returns the order that was just placed.
pub(super) fn placed(placed: OrderPlaced) -> Order {
    let OrderPlaced { order, user, lines, total } = placed;
    Order { order, user, lines, total, status: OrderStatus::Placed }
}

/// Returns the order that a life tells of, if it was ever placed.
pub(super) fn order(life: &Life) -> Option<Order> {
    let mut order = placed(life.find()?);
    if let Some(OrderCancelled { reason, .. }) = life.find() {
        order.status = OrderStatus::Cancelled { reason };
    } else if life.find::<OrderConfirmed>().is_some() {
        order.status = OrderStatus::Confirmed;
    }
    Some(order)
}

/// What is published when an order ends.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Confirmed(OrderConfirmed),
    Cancelled(OrderCancelled),
}

/// Decides how an order ends: for a reason not to be, or well; nothing if it
/// has ended before.
pub(super) fn end(order: Order, against: Option<Cancellation>) -> Option<Ending> {
    if order.status != OrderStatus::Placed {
        return None;
    }
    let Order { order, user, total, .. } = order;
    Some(match against {
        None => Ending::Confirmed(OrderConfirmed { order, user, total }),
        Some(reason) => Ending::Cancelled(OrderCancelled { order, user, reason }),
    })
}

#[cfg(test)]
mod tests {
    use super::{Ending, check, end, placed, same_or_taken};
    use schemas::{
        Cents, Line,
        orders::{
            Cancellation, Order, OrderConfirmed, OrderPlaced, OrderStatus, PlaceOrder,
            PlaceRejected,
        },
        payments::Declined,
    };

    fn an_order() -> Order {
        placed(OrderPlaced {
            order: "o-1".into(),
            user: "ada".into(),
            lines: vec![Line::new("tea", 2)],
            total: Cents(900),
        })
    }

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

    #[test]
    fn the_same_order_again_is_the_same_order() {
        let mut place = PlaceOrder {
            order: "o-1".into(),
            user: "ada".into(),
            lines: vec![Line::new("tea", 2)],
        };
        assert_eq!(same_or_taken(an_order(), &place), Ok(an_order()));
        place.lines.clear();
        let taken = PlaceRejected::IdTaken { order: "o-1".into() };
        assert_eq!(same_or_taken(an_order(), &place), Err(taken));
    }

    #[test]
    fn an_order_ends_once() {
        let reason = Cancellation::PaymentDeclined(Declined::OverLimit { limit: Cents(1) });
        let well = OrderConfirmed { order: "o-1".into(), user: "ada".into(), total: Cents(900) };
        assert_eq!(end(an_order(), None), Some(Ending::Confirmed(well)));
        let ended = Order { status: OrderStatus::Confirmed, ..an_order() };
        assert_eq!(end(ended.clone(), Some(reason)), None);
        assert_eq!(end(ended, None), None);
    }
}
