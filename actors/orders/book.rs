use super::rules;
use crate::log::{Fact, Fold, View};
use callboard::{Answer, Context, Failure};
use schemas::{
    OrderId,
    orders::{
        GetOrder, Order, OrderCancelled, OrderConfirmed, OrderPlaced, OrderStatus, UnknownOrder,
    },
};
use std::collections::HashMap;

/// Tells what became of orders.
#[derive(Debug, Default)]
pub(super) struct Book {
    pages: View<Pages>,
}

/// All orders, as the domain's events tell them.
#[derive(Debug, Default)]
struct Pages {
    orders: HashMap<OrderId, Order>,
}

impl Book {
    pub(super) async fn open() -> Result<Self, Failure> {
        Ok(Self::default())
    }

    pub(super) async fn get(&mut self, get: GetOrder, ctx: &Context) -> Answer<GetOrder> {
        let pages = self.pages.now(ctx).await?;
        let found = pages.orders.get(&get.order).cloned();
        Ok(found.ok_or(UnknownOrder { order: get.order })?)
    }
}

impl Pages {
    fn end(&mut self, order: &OrderId, status: OrderStatus) {
        if let Some(order) = self.orders.get_mut(order) {
            order.status = status;
        }
    }
}

impl Fold for Pages {
    const DOMAIN: &'static str = "orders";

    fn apply(&mut self, fact: &Fact) {
        if let Some(placed) = fact.read::<OrderPlaced>() {
            self.orders
                .insert(placed.order.clone(), rules::placed(placed));
        } else if let Some(OrderConfirmed { order, .. }) = fact.read() {
            self.end(&order, OrderStatus::Confirmed);
        } else if let Some(OrderCancelled { order, reason, .. }) = fact.read() {
            self.end(&order, OrderStatus::Cancelled { reason });
        }
    }
}
