use super::order;
use callboard::{
    Answer,
    projection::{Lag, Seen},
};
use schemas::{
    LIST_LIMIT, OrderId, UserId,
    orders::{
        ListOrders, Order, OrderCancelled, OrderConfirmed, OrderList, OrderPlaced, OrderStatus,
    },
};
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, VecDeque};

/// Every user's last orders, as many as a list shows, the latest last.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct OrdersByUser {
    orders: HashMap<OrderId, Order>,
    by_user: HashMap<UserId, VecDeque<OrderId>>,
}

impl OrdersByUser {
    pub(super) fn placed(&mut self, placed: &OrderPlaced, _: &Seen) {
        let ids = self.by_user.entry(placed.user.clone()).or_default();
        ids.push_back(placed.order.clone());
        while ids.len() > LIST_LIMIT
            && let Some(oldest) = ids.pop_front()
        {
            self.orders.remove(&oldest);
        }
        self.orders
            .insert(placed.order.clone(), order::new(placed.clone()));
    }

    pub(super) fn confirmed(&mut self, confirmed: &OrderConfirmed, _: &Seen) {
        self.end(&confirmed.order, OrderStatus::Confirmed);
    }

    pub(super) fn cancelled(&mut self, cancelled: &OrderCancelled, _: &Seen) {
        let reason = cancelled.reason.clone();
        self.end(&cancelled.order, OrderStatus::Cancelled { reason });
    }

    pub(super) fn list(&self, list: &ListOrders, _: &Lag) -> Answer<ListOrders> {
        let ids = self.by_user.get(&list.user).into_iter().flatten();
        let orders = ids
            .rev()
            .filter_map(|order| self.orders.get(order))
            .take(LIST_LIMIT)
            .cloned()
            .collect();
        Ok(OrderList { orders })
    }

    fn end(&mut self, order: &OrderId, status: OrderStatus) {
        if let Some(order) = self.orders.get_mut(order) {
            order.status = status;
        }
    }
}
