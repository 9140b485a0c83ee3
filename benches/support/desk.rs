//! What answers orders, as plainly as can be.

use super::order::Order;
use callboard::{Actor, Answer, Context, Failure, Group};

struct Desk;

impl Desk {
    async fn open() -> Result<Self, Failure> {
        Ok(Self)
    }

    async fn order(&mut self, order: Order, _: &Context) -> Answer<Order> {
        Ok(order)
    }
}

/// Describes a group that answers orders.
pub(crate) fn group() -> Group {
    Group::new("bench").child(Actor::new("desk", Desk::open).answer(Desk::order))
}
