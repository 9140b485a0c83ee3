use super::commands::{Cancel, Confirm};
use callboard::Decision;
use schemas::{
    Cents,
    orders::{
        self, GetOrder, OrderCancelled, OrderConfirmed, OrderPlaced, OrderStatus, PlaceOrder,
        PlaceRejected, UnknownOrder,
    },
};

/// An order, once it was placed.
#[derive(Clone, Debug, Default)]
pub(super) struct Order(Option<orders::Order>);

impl Order {
    pub(super) fn place(
        &self,
        place: PlaceOrder,
        total: Cents,
    ) -> Result<Decision<orders::Order>, PlaceRejected> {
        let PlaceOrder { order, user, lines, pay } = place;
        match &self.0 {
            Some(old) if old.user == user && old.lines == lines && old.pay == pay => {
                Ok(Decision::nothing().reply(old.clone()))
            }
            Some(_) => Err(PlaceRejected::IdTaken { order }),
            None => {
                let placed = OrderPlaced { order, user, lines, total, pay };
                Ok((placed.clone(), new(placed)).into())
            }
        }
    }

    pub(super) fn get(
        &self,
        get: GetOrder,
        (): (),
    ) -> Result<Decision<orders::Order>, UnknownOrder> {
        let found = self.0.clone().ok_or(UnknownOrder { order: get.order })?;
        Ok(Decision::nothing().reply(found))
    }

    pub(super) fn confirm(&self, confirm: Confirm) -> Result<Decision<()>, UnknownOrder> {
        let order = confirm.order;
        let old = self
            .0
            .as_ref()
            .ok_or(UnknownOrder { order: order.clone() })?;
        if old.status != OrderStatus::Placed {
            return Ok(Decision::nothing());
        }
        Ok(OrderConfirmed { order, user: old.user.clone(), total: old.total }.into())
    }

    pub(super) fn cancel(&self, cancel: Cancel) -> Result<Decision<()>, UnknownOrder> {
        let Cancel { order, reason } = cancel;
        let old = self
            .0
            .as_ref()
            .ok_or(UnknownOrder { order: order.clone() })?;
        if old.status != OrderStatus::Placed {
            return Ok(Decision::nothing());
        }
        Ok(OrderCancelled { order, user: old.user.clone(), reason }.into())
    }

    pub(super) fn placed(&mut self, placed: &OrderPlaced) {
        self.0 = Some(new(placed.clone()));
    }

    pub(super) fn confirmed(&mut self, _: &OrderConfirmed) {
        self.end(OrderStatus::Confirmed);
    }

    pub(super) fn cancelled(&mut self, cancelled: &OrderCancelled) {
        self.end(OrderStatus::Cancelled { reason: cancelled.reason.clone() });
    }

    fn end(&mut self, status: OrderStatus) {
        if let Some(order) = &mut self.0 {
            order.status = status;
        }
    }
}

/// Returns the order that was just placed.
pub(super) fn new(placed: OrderPlaced) -> orders::Order {
    let OrderPlaced { order, user, lines, total, pay } = placed;
    orders::Order { order, user, lines, total, pay, status: OrderStatus::Placed }
}

#[cfg(test)]
mod tests {
    use super::Order;
    use crate::orders::commands::{Cancel, Confirm};
    use schemas::{
        Cents, Line,
        orders::{
            Cancellation, OrderCancelled, OrderConfirmed, OrderPlaced, Payment, PlaceOrder,
            PlaceRejected, UnknownOrder,
        },
        payments::Declined,
    };

    fn an_order() -> Order {
        let mut order = Order::default();
        order.placed(&OrderPlaced {
            order: "o-1".into(),
            user: "ada".into(),
            lines: vec![Line::new("tea", 2)],
            total: Cents(900),
            pay: Payment::Card,
        });
        order
    }

    fn cancel() -> Cancel {
        let reason = Cancellation::PaymentDeclined(Declined::OverLimit { limit: Cents(1) });
        Cancel { order: "o-1".into(), reason }
    }

    fn confirm() -> Confirm {
        Confirm { order: "o-1".into() }
    }

    /// Writes what was decided, for comparison.
    fn decided(decision: impl std::fmt::Debug) -> String {
        format!("{decision:?}")
    }

    #[test]
    fn the_same_order_again_is_the_same_order_whatever_it_costs_now() {
        let mut place = PlaceOrder {
            order: "o-1".into(),
            user: "ada".into(),
            lines: vec![Line::new("tea", 2)],
            pay: Payment::Card,
        };
        let again = decided(an_order().place(place.clone(), Cents(1)));
        assert!(
            again.contains("facts: []") && again.contains("Cents(900)"),
            "{again}"
        );
        let later = PlaceOrder { pay: Payment::Invoice, ..place.clone() };
        place.lines.clear();
        for other in [place, later] {
            let taken = an_order().place(other, Cents(900)).map(drop);
            assert_eq!(taken, Err(PlaceRejected::IdTaken { order: "o-1".into() }));
        }
    }

    #[test]
    fn an_order_ends_once() {
        let confirmed =
            OrderConfirmed { order: "o-1".into(), user: "ada".into(), total: Cents(900) };
        let cancelled =
            OrderCancelled { order: "o-1".into(), user: "ada".into(), reason: cancel().reason };
        let first = decided(an_order().confirm(confirm()));
        assert!(first.contains("orders.confirmed"), "{first}");
        let mut confirmed_one = an_order();
        confirmed_one.confirmed(&confirmed);
        let mut cancelled_one = an_order();
        cancelled_one.cancelled(&cancelled);
        for ended in [confirmed_one, cancelled_one] {
            for again in [
                decided(ended.confirm(confirm())),
                decided(ended.cancel(cancel())),
            ] {
                assert!(again.contains("facts: []"), "{again}");
            }
        }
    }

    #[test]
    fn what_was_never_placed_does_not_end() {
        let unknown = UnknownOrder { order: "o-1".into() };
        let nothing = Order::default();
        assert_eq!(nothing.confirm(confirm()).map(drop), Err(unknown.clone()));
        assert_eq!(nothing.cancel(cancel()).map(drop), Err(unknown));
    }
}
