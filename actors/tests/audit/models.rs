//! The read models, and what a fold of the streams makes of them.

use super::Audit;
use callboard::{
    Client, Event,
    error::BoxError,
    message::{Origin, batch, codec},
};
use schemas::{
    Cents, LIST_LIMIT, OrderId, UserId,
    orders::{
        ListOrders, ListSales, Order, OrderCancelled, OrderConfirmed, OrderList, OrderPlaced,
        OrderStatus, Sales, SalesList,
    },
    products::{Catalogue, ListProducts, Offer, ProductAdded},
};
use std::{
    collections::BTreeMap,
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::time::{Instant, sleep};

/// How long a read model may be behind.
const SOON: Duration = Duration::from_mins(1);

/// Waits until all three read models answer what the streams tell.
pub(crate) async fn assert_models_are_a_fold(
    client: &Client,
    audit: &Audit,
) -> Result<(), BoxError> {
    let days = sales(client).await?;
    let counted: u64 = days.days.iter().map(|day| day.orders).sum();
    assert_eq!(usize::try_from(counted)?, audit.confirmed.len());
    becomes(&days, async || {
        Ok(client.call(ListSales { days: 9 }).await?)
    })
    .await?;
    for (user, orders) in orders(client).await? {
        let list = OrderList { orders };
        let ask = || ListOrders { user: user.clone() };
        becomes(&list, async || Ok(client.call(ask()).await?)).await?;
    }
    let catalogue = catalogue(client, audit).await?;
    let ask = || ListProducts { after: None };
    becomes(&catalogue, async || Ok(client.call(ask()).await?)).await
}

/// Waits until a read model answers what it should.
pub(crate) async fn becomes<T: PartialEq + fmt::Debug>(
    expected: &T,
    told: impl AsyncFn() -> Result<T, BoxError>,
) -> Result<(), BoxError> {
    let deadline = Instant::now() + SOON;
    loop {
        let told = told().await;
        match told {
            Ok(told) if told == *expected => return Ok(()),
            last if Instant::now() >= deadline => {
                return Err(format!("{last:?} does not become {expected:?}").into());
            }
            _ => sleep(Duration::from_millis(50)).await,
        }
    }
}

/// Returns all events of a type, in order, with their times.
pub(crate) async fn all<E: Event>(client: &Client) -> Result<Vec<(E, SystemTime)>, BoxError> {
    let domain = E::SUBJECT.domain();
    let name = client.namespace().event_stream(domain);
    let mut reader = client.events(domain).await?.read(">", 1).await?;
    let mut found = Vec::new();
    while let Some(stored) = reader.next().await? {
        let origin = Origin {
            stream: &name,
            sequence: stored.sequence,
            subject: &stored.subject,
            time: stored.time,
        };
        for event in batch::read(&stored.headers, origin, stored.payload)? {
            if event.kind == E::SUBJECT.as_str() {
                let time = event.time.unwrap_or(stored.time);
                found.push((codec::decode(&event.payload)?, time));
            }
        }
    }
    Ok(found)
}

/// Adds the sales up from all that was ever told.
pub(crate) async fn sales(client: &Client) -> Result<SalesList, BoxError> {
    let mut days: BTreeMap<u64, (u64, u64)> = BTreeMap::new();
    for (confirmed, time) in all::<OrderConfirmed>(client).await? {
        let day = time.duration_since(UNIX_EPOCH)?.as_secs() / 86_400;
        let sold = days.entry(day).or_default();
        *sold = (sold.0 + 1, sold.1 + confirmed.total.0);
    }
    let days = days.into_iter().rev();
    let days =
        days.map(|(day, (orders, total))| Sales { day: date(day), orders, total: Cents(total) });
    Ok(SalesList { days: days.collect() })
}

/// Returns a day since 1970 as a date, counted year by year and month by month.
fn date(mut left: u64) -> String {
    let leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let mut year = 1970;
    while left >= 365 + u64::from(leap(year)) {
        left -= 365 + u64::from(leap(year));
        year += 1;
    }
    let february = 28 + u64::from(leap(year));
    let mut month = 1;
    for days in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if left < days {
            break;
        }
        left -= days;
        month += 1;
    }
    format!("{year}-{month:02}-{:02}", left + 1)
}

/// Returns every user's latest orders, the latest first.
async fn orders(client: &Client) -> Result<BTreeMap<UserId, Vec<Order>>, BoxError> {
    let mut ends: BTreeMap<OrderId, OrderStatus> = BTreeMap::new();
    for (OrderConfirmed { order, .. }, _) in all(client).await? {
        ends.insert(order, OrderStatus::Confirmed);
    }
    for (OrderCancelled { order, reason, .. }, _) in all(client).await? {
        ends.insert(order, OrderStatus::Cancelled { reason });
    }
    let mut users: BTreeMap<UserId, Vec<Order>> = BTreeMap::new();
    for (placed, _) in all::<OrderPlaced>(client).await?.into_iter().rev() {
        let OrderPlaced { order, user, lines, total, pay } = placed;
        let orders = users.entry(user.clone()).or_default();
        if orders.len() < LIST_LIMIT {
            let status = ends.remove(&order).unwrap_or(OrderStatus::Placed);
            orders.push(Order { order, user, lines, total, pay, status });
        }
    }
    Ok(users)
}

async fn catalogue(client: &Client, audit: &Audit) -> Result<Catalogue, BoxError> {
    let mut offers = Vec::new();
    for (ProductAdded { product, name, price }, _) in all(client).await? {
        let available = audit.stock.count(product.as_str()).available;
        let available = u32::try_from(available)?;
        offers.push(Offer { product, name, price, available });
    }
    offers.sort_by(|one, other| one.product.cmp(&other.product));
    Ok(Catalogue { offers })
}
