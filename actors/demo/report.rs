use super::{
    news::items,
    say,
    script::{RANGE, Script, USERS},
};
use callboard::{Client, error::BoxError};
use schemas::{
    OrderId, UserId,
    inventory::GetStock,
    notifications::{ListNotifications, Notification},
    orders::{GetOrder, OrderStatus},
};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long what was seen to pass by may take to be stored.
const PATIENCE: Duration = Duration::from_secs(5);

/// Prints how everything stands in the end.
pub(super) async fn print<'a>(
    client: &Client,
    script: &Script,
    orders: impl Iterator<Item = &'a OrderId>,
) -> Result<(), BoxError> {
    say(format_args!("\norders"))?;
    let mut count = 0;
    for order in orders {
        let order = client.call(GetOrder { order: order.clone() }).await?;
        let (status, reason) = match &order.status {
            OrderStatus::Placed => ("placed", String::new()),
            OrderStatus::Confirmed => ("confirmed", String::new()),
            OrderStatus::Cancelled { reason } => ("cancelled", format!("  {reason}")),
        };
        let total = order.total.to_string();
        let what = items(&order.lines);
        say(format_args!(
            "  {:<16} {:<6} {what:<16} {total:>9}  {status}{reason}",
            order.order.as_str(),
            order.user.as_str()
        ))?;
        count += 1;
    }
    say(format_args!("\nstock             available  reserved"))?;
    for (product, ..) in RANGE {
        let level = client.call(GetStock { product: product.into() }).await?;
        say(format_args!(
            "  {product:<16} {:>8} {:>9}",
            level.available, level.reserved
        ))?;
    }
    say(format_args!("\nnotifications"))?;
    for (user, Notification { text, .. }) in told(client, script, count).await? {
        say(format_args!("  {:<6} {text}", user.as_str()))?;
    }
    Ok(())
}

/// Returns what customers were told about this run's orders, once it is stored.
async fn told(
    client: &Client,
    script: &Script,
    count: usize,
) -> Result<Vec<(UserId, Notification)>, BoxError> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut told = Vec::new();
        for name in USERS {
            let user = UserId::new(name.to_lowercase());
            let list = client
                .call(ListNotifications { user: user.clone() })
                .await?;
            let ours = list
                .notifications
                .into_iter()
                .rev()
                .filter(|about| script.is_ours(&about.order));
            told.extend(ours.map(|about| (user.clone(), about)));
        }
        if told.len() >= count {
            return Ok(told);
        }
        if Instant::now() >= deadline {
            let number = told.len();
            return Err(format!("{number} of {count} notifications are stored").into());
        }
        sleep(Duration::from_millis(10)).await;
    }
}
