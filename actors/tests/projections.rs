//! The shop's read models: each is what a fold of the streams makes of them.

mod audit;
#[path = "../../tests/support/folder.rs"]
#[allow(clippy::allow_attributes, dead_code, reason = "several tests share it")]
mod folder;

use audit::models;
use callboard::{Bus, Client, Node, Replay, Running, error::BoxError};
use folder::Folder;
use schemas::{
    Cents, Line, UserId,
    inventory::{GetStock, Stock, StockAdded, StockHeld},
    orders::{
        GetOrder, ListOrders, ListSales, OrderCancelled, OrderConfirmed, OrderPlaced, Payment,
        PlaceOrder, Sales,
    },
    products::{AddProduct, Catalogue, ListProducts, Offer, ProductAdded},
    users::Register,
};
use shop::groups::{Name, Settings};
use std::{path::Path, time::Duration};
use tokio::time::{sleep, timeout};

const DAY: Duration = Duration::from_hours(24);

fn confirmed(order: &str, total: u64) -> OrderConfirmed {
    OrderConfirmed { order: order.into(), user: "ada".into(), total: Cents(total) }
}

fn sales(day: &str, orders: u64, total: u64) -> Sales {
    Sales { day: day.to_owned(), orders, total: Cents(total) }
}

#[tokio::test]
async fn sales_are_added_up_by_the_day_of_their_event() -> Result<(), BoxError> {
    let mut heard = Replay::of(shop::orders::group(None))
        .ask(ListSales { days: 9 })
        .given(confirmed("o-1", 900))
        .given(confirmed("o-2", 100))
        .after(2 * DAY)
        .given(confirmed("o-3", u64::MAX))
        .given(confirmed("o-4", 7))
        .ask(ListSales { days: 9 })
        .ask(ListSales { days: 1 })
        .settle()
        .await?;
    let told: Vec<_> = heard
        .answers::<ListSales>()
        .into_iter()
        .map(|answer| answer.map(|list| list.days))
        .collect::<Result<_, _>>()?;
    let (first, third) = (
        sales("2026-01-01", 2, 1_000),
        // More than can be told is the largest amount.
        sales("2026-01-03", 2, i64::MAX.unsigned_abs()),
    );
    assert_eq!(told, [vec![], vec![third.clone(), first], vec![third]]);
    Ok(())
}

#[tokio::test]
async fn stock_may_come_before_its_product_and_the_list_goes_on_where_it_ended()
-> Result<(), BoxError> {
    let added = |product: &str| ProductAdded {
        product: product.into(),
        name: product.to_uppercase(),
        price: Cents(5),
    };
    let held = StockHeld { product: "tea".into(), order: "o-1".into(), quantity: 2 };
    let mut heard = Replay::of(shop::products::group())
        .given(StockAdded { product: "tea".into(), quantity: 9 })
        .given(held)
        .ask(ListProducts { after: None })
        .given(added("tea"))
        .given(added("cup"))
        .ask(ListProducts { after: None })
        .ask(ListProducts { after: Some("cup".into()) })
        .settle()
        .await?;
    let offer = |product: &str, available| Offer {
        product: product.into(),
        name: product.to_uppercase(),
        price: Cents(5),
        available,
    };
    let told: Vec<_> = heard
        .answers::<ListProducts>()
        .into_iter()
        .map(|answer| answer.map(|list| list.offers))
        .collect::<Result<_, _>>()?;
    let (cup, tea) = (offer("cup", 0), offer("tea", 7));
    assert_eq!(told, [vec![], vec![cup, tea.clone()], vec![tea]]);
    Ok(())
}

async fn start(bus: &Bus, data: &Path) -> Result<Running, BoxError> {
    let settings = Settings { data: Some(data.to_owned()), ..Settings::limit(Cents(10_000)) };
    let node = Node::new("n", bus.clone()).namespace("shop");
    let groups = Name::ALL.map(|name| name.group(&settings));
    Ok(groups.into_iter().fold(node, Node::group).start().await?)
}

/// Places orders of which some cannot end well, and waits until all have ended.
async fn trade(client: &Client, run: u32) -> Result<(), BoxError> {
    let register = Register { name: "Ada".into(), email: "ada@example.com".into() };
    client.call(register).await?;
    for (product, price, quantity) in [("tea", 250, 10), ("pot", 2_500, 5)] {
        let (price, name) = (Cents(price), product.to_owned());
        client
            .call(AddProduct { product: product.into(), name, price })
            .await?;
        client
            .call(Stock { product: product.into(), quantity })
            .await?;
    }
    for (at, (product, quantity)) in [("tea", 2), ("pot", 5), ("pot", 1), ("tea", 900), ("tea", 3)]
        .into_iter()
        .enumerate()
    {
        let order = format!("o-{run}-{at}");
        let lines = vec![Line::new(product, quantity)];
        let place = PlaceOrder {
            order: order.as_str().into(),
            user: "ada".into(),
            lines,
            pay: Payment::Card,
        };
        client.call(place).await?;
        let ended = async {
            loop {
                let order = client
                    .call(GetOrder { order: order.as_str().into() })
                    .await?;
                if order.status != schemas::orders::OrderStatus::Placed {
                    return Ok::<_, BoxError>(());
                }
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(Duration::from_secs(30), ended).await??;
    }
    Ok(())
}

/// Compares all three models with what the streams tell.
async fn compare(client: &Client) -> Result<(), BoxError> {
    let expected = models::sales(client).await?;
    models::becomes(&expected, async || {
        Ok(client.call(ListSales { days: 9 }).await?)
    })
    .await?;

    let ada = UserId::from("ada");
    let mut expected: Vec<_> = models::all::<OrderPlaced>(client)
        .await?
        .into_iter()
        .map(|(placed, _)| placed.order)
        .collect();
    expected.reverse();
    let list = client.call(ListOrders { user: ada }).await?.orders;
    let listed: Vec<_> = list.iter().map(|order| order.order.clone()).collect();
    assert_eq!(listed, expected, "it is fresh, so it needs no waiting");
    for order in list {
        let known = client.call(GetOrder { order: order.order.clone() }).await?;
        assert_eq!(order, known);
    }

    let mut offers = Vec::new();
    for (ProductAdded { product, name, price }, _) in models::all(client).await? {
        let level = client.call(GetStock { product: product.clone() }).await?;
        offers.push(Offer { product, name, price, available: level.available });
    }
    offers.sort_by(|one, other| one.product.cmp(&other.product));
    let expected = Catalogue { offers };
    models::becomes(&expected, async || {
        Ok(client.call(ListProducts { after: None }).await?)
    })
    .await
}

#[tokio::test]
async fn the_models_are_a_fold_of_the_streams_also_after_restarts() -> Result<(), BoxError> {
    let folder = Folder::fresh();
    let bus = Bus::embedded();
    for run in 0..3 {
        let node = start(&bus, folder.path()).await?;
        let client = node.client();
        trade(&client, run).await?;
        assert!(!models::all::<OrderCancelled>(&client).await?.is_empty());
        compare(&client).await?;
        node.stop().await?;
    }
    Ok(())
}

#[tokio::test]
async fn two_nodes_that_share_a_database_count_every_sale_once() -> Result<(), BoxError> {
    let folder = Folder::fresh();
    let bus = Bus::embedded();
    let group = || shop::orders::group(Some(folder.path()));
    let start = async |name: &str| Node::new(name, bus.clone()).group(group()).start().await;
    let (one, two) = (start("one").await?, start("two").await?);
    let client = one.client();
    for at in 0..100 {
        client.publish(confirmed(&format!("o-{at}"), 5)).await?;
    }
    let expected = models::sales(&client).await?;
    models::becomes(&expected, async || {
        Ok(client.call(ListSales { days: 9 }).await?)
    })
    .await?;
    one.stop().await?;
    two.stop().await?;
    let third = start("three").await?;
    assert_eq!(third.client().call(ListSales { days: 9 }).await?, expected);
    Ok(third.stop().await?)
}
