//! What a node knows that takes over from another.

use callboard::{
    Bus, Client, Node, Running,
    error::BoxError,
    message::{Id, Key, codec},
};
use schemas::{
    Cents, EventId, Line,
    inventory::Stock,
    notifications::{ListNotifications, NotificationSent},
    orders::{GetOrder, OrderConfirmed, OrderStatus, Payment, PlaceOrder},
    products::AddProduct,
    users::{Register, RegisterRejected},
};
use shop::groups::{Name, Settings};
use std::time::Duration;
use tokio::time::{sleep, timeout};

async fn start(name: &str, bus: &Bus) -> Result<Running, BoxError> {
    let node = Node::new(name, bus.clone()).namespace("shop");
    let groups = Name::ALL.map(|name| name.group(&Settings::limit(Cents(10_000))));
    Ok(groups.into_iter().fold(node, Node::group).start().await?)
}

async fn sent(client: &Client) -> Result<Vec<NotificationSent>, BoxError> {
    let mut all = Vec::new();
    for stored in client
        .events("notifications")
        .await?
        .read(">", 1)
        .await?
        .all()
        .await?
    {
        all.push(codec::decode(&stored.payload)?);
    }
    Ok(all)
}

/// Waits until so many notifications are stored.
async fn until_sent(client: &Client, count: usize) -> Result<Vec<NotificationSent>, BoxError> {
    let wait = async {
        loop {
            let all = sent(client).await?;
            if all.len() >= count {
                return Ok(all);
            }
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(30), wait).await?
}

#[tokio::test]
async fn an_event_that_was_told_before_is_not_told_again() -> Result<(), BoxError> {
    let bus = Bus::embedded();
    let client = Client::new(bus.clone(), "shop".parse()?);
    // A life before this one told it, longer ago than the stream remembers ids.
    let old = NotificationSent {
        about: EventId::new("e-1"),
        user: "ada".into(),
        order: "o-1".into(),
        text: "from a life before".into(),
    };
    client.publish(old.clone()).await?;
    let confirmed = OrderConfirmed { order: "o-1".into(), user: "ada".into(), total: Cents(1) };
    client
        .publish(confirmed.clone())
        .id(Id::from("e-1"))
        .await?;
    client.publish(confirmed).id(Id::from("e-2")).await?;

    let node = start("shop-1", &bus).await?;
    // Both are of one key: when the second was told, the first was decided on.
    let all = until_sent(&client, 2).await?;
    node.stop().await?;

    assert_eq!(all[0], old);
    assert_eq!(all[1].about, EventId::new("e-2"));
    assert_eq!(sent(&client).await?.len(), 2);
    let events = client.events("orders").await?;
    let life = client.namespace().event("orders", &Key::new("o-1")?);
    assert_eq!(events.read(&life, 1).await?.all().await?.len(), 2);
    Ok(())
}

#[tokio::test]
async fn a_node_that_takes_over_knows_users_orders_and_stock() -> Result<(), BoxError> {
    let bus = Bus::embedded();
    let place = |order: &str| PlaceOrder {
        order: order.into(),
        user: "ada".into(),
        lines: vec![Line::new("pot", 3)],
        pay: Payment::Card,
    };
    let first = start("shop-1", &bus).await?;
    let client = first.client();
    client
        .call(Register { name: "Ada".into(), email: "ada@example.com".into() })
        .await?;
    let pot = AddProduct { product: "pot".into(), name: "Pot".into(), price: Cents(2_500) };
    client.call(pot).await?;
    client
        .call(Stock { product: "pot".into(), quantity: 5 })
        .await?;
    client.call(place("o-1")).await?;
    until_sent(&client, 1).await?;
    first.stop().await?;

    let second = start("shop-2", &bus).await?;
    let client = second.client();
    client.call(place("o-2")).await?;
    until_sent(&client, 2).await?;
    let eve = Register { name: "ada".into(), email: "eve@example.com".into() };
    let taken = RegisterRejected::NameTaken { name: "ada".into() };
    assert_eq!(client.call(eve).outcome().await?, Err(taken));
    let confirmed = client.call(GetOrder { order: "o-1".into() }).await?;
    assert_eq!(confirmed.status, OrderStatus::Confirmed);
    let refused = client.call(GetOrder { order: "o-2".into() }).await?;
    assert!(matches!(refused.status, OrderStatus::Cancelled { .. }));
    let told = client
        .call(ListNotifications { user: "ada".into() })
        .await?;
    assert_eq!(told.notifications.len(), 2);
    second.stop().await?;
    Ok(())
}
