use super::order;
use crate::log::{Fact, Fold, View};
use callboard::{Answer, Context, Failure};
use schemas::{
    LIST_LIMIT, OrderId, UserId,
    orders::{
        ListOrders, Order, OrderCancelled, OrderConfirmed, OrderList, OrderPlaced, OrderStatus,
    },
};
use std::collections::HashMap;

/// Lists orders by user.
#[derive(Debug, Default)]
pub(super) struct Book {
    pages: View<Pages>,
}

/// All orders, as the domain's events tell them.
#[derive(Debug, Default)]
struct Pages {
    orders: HashMap<OrderId, Order>,
    by_user: HashMap<UserId, Vec<OrderId>>,
}

impl Book {
    pub(super) async fn open() -> Result<Self, Failure> {
        Ok(Self::default())
    }

    pub(super) async fn list(&mut self, list: ListOrders, ctx: &Context) -> Answer<ListOrders> {
        let pages = self.pages.now(ctx).await?;
        Ok(OrderList { orders: pages.latest(&list.user) })
    }
}

impl Pages {
    fn latest(&self, user: &UserId) -> Vec<Order> {
        let ids = self.by_user.get(user).into_iter().flatten();
        ids.rev()
            .filter_map(|order| self.orders.get(order))
            .take(LIST_LIMIT)
            .cloned()
            .collect()
    }

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
            let ids = self.by_user.entry(placed.user.clone()).or_default();
            ids.push(placed.order.clone());
            self.orders.insert(placed.order.clone(), order::new(placed));
        } else if let Some(OrderConfirmed { order, .. }) = fact.read() {
            self.end(&order, OrderStatus::Confirmed);
        } else if let Some(OrderCancelled { order, reason, .. }) = fact.read() {
            self.end(&order, OrderStatus::Cancelled { reason });
        }
    }
}
