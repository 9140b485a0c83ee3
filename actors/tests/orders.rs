//! Orders from the counter to their end.

use callboard::{CallError, Replay, ReplayError};
use schemas::{
    Cents, Line,
    inventory::{OutOfStock, StockRefused},
    orders::{
        Cancellation, GetOrder, ListOrders, OrderCancelled, OrderConfirmed, OrderPlaced,
        OrderStatus, PlaceOrder, PlaceRejected, UnknownOrder,
    },
    payments::{Declined, PaymentDeclined, PaymentTaken},
    products::{GetProduct, Product, UnknownProduct},
    users::{GetUser, UnknownUser, User},
};

/// The orders group, in a world that knows Ada and sells tea for 2.50.
fn orders() -> Replay {
    Replay::of(shop::orders::group(None))
        .stub(|GetUser { user }| match user.as_str() {
            "ada" => Ok(User { user, name: "Ada".into(), email: "ada@example.com".into() }),
            _ => Err(UnknownUser { user }),
        })
        .stub(|GetProduct { product }| match product.as_str() {
            "tea" => Ok(Product { product, name: "Tea".into(), price: Cents(250) }),
            _ => Err(UnknownProduct { product }),
        })
}

fn place(order: &str, user: &str, product: &str, quantity: u32) -> PlaceOrder {
    PlaceOrder {
        order: order.into(),
        user: user.into(),
        lines: vec![Line::new(product, quantity)],
    }
}

fn placed(order: &str) -> OrderPlaced {
    OrderPlaced {
        order: order.into(),
        user: "ada".into(),
        lines: vec![Line::new("tea", 2)],
        total: Cents(500),
    }
}

fn paid(order: &str) -> PaymentTaken {
    PaymentTaken { order: order.into(), amount: Cents(500) }
}

fn declined(order: &str) -> PaymentDeclined {
    let reason = Declined::OverLimit { limit: Cents(100) };
    PaymentDeclined { order: order.into(), amount: Cents(500), reason }
}

#[tokio::test]
async fn a_placed_order_costs_what_its_products_cost() -> Result<(), ReplayError> {
    let mut heard = orders().ask(place("o-1", "ada", "tea", 2)).settle().await?;
    assert_eq!(heard.events::<OrderPlaced>(), [placed("o-1")]);
    let answers = heard.answers::<PlaceOrder>();
    assert!(matches!(&answers[..], [Ok(order)] if order.total == Cents(500)));
    Ok(())
}

#[tokio::test]
async fn what_nobody_knows_cannot_be_ordered() -> Result<(), ReplayError> {
    let mut heard = orders()
        .ask(place("o-1", "eve", "tea", 2))
        .ask(place("o-2", "ada", "jam", 2))
        .ask(place("o-3", "ada", "tea", 0))
        .settle()
        .await?;
    let why = [
        PlaceRejected::UnknownUser { user: "eve".into() },
        PlaceRejected::UnknownProduct { product: "jam".into() },
        PlaceRejected::ZeroQuantity { product: "tea".into() },
    ];
    let answers = heard.answers::<PlaceOrder>();
    let refused: Vec<_> = answers
        .into_iter()
        .filter_map(|answer| match answer {
            Err(CallError::Rejected(why)) => Some(why),
            _ => None,
        })
        .collect();
    assert_eq!(refused, why);
    assert!(heard.kinds().is_empty());
    Ok(())
}

#[tokio::test]
async fn placing_an_order_twice_is_placing_it_once() -> Result<(), ReplayError> {
    let mut heard = orders()
        .ask(place("o-1", "ada", "tea", 2))
        .ask(place("o-1", "ada", "tea", 2))
        .ask(place("o-1", "ada", "tea", 3))
        .settle()
        .await?;
    let taken = PlaceRejected::IdTaken { order: "o-1".into() };
    let answers = heard.answers::<PlaceOrder>();
    assert!(matches!(
        &answers[..],
        [Ok(first), Ok(again), Err(CallError::Rejected(why))] if first == again && *why == taken
    ));
    assert_eq!(heard.events::<OrderPlaced>().len(), 1);
    Ok(())
}

#[tokio::test]
async fn an_order_without_an_id_fails_and_says_why() -> Result<(), ReplayError> {
    let mut heard = orders().ask(place("", "ada", "tea", 2)).settle().await?;
    let answers = heard.answers::<PlaceOrder>();
    assert!(matches!(
        &answers[..],
        [Err(CallError::Failed { reason, .. })] if reason.contains("the key is empty")
    ));
    Ok(())
}

#[tokio::test]
async fn a_paid_order_is_confirmed_once() -> Result<(), ReplayError> {
    let heard = orders()
        .given(placed("o-1"))
        .given(paid("o-1"))
        .given(paid("o-1"))
        .given(declined("o-1"))
        .settle()
        .await?;
    let confirmed = OrderConfirmed { order: "o-1".into(), user: "ada".into(), total: Cents(500) };
    assert_eq!(heard.events::<OrderConfirmed>(), [confirmed]);
    assert!(heard.events::<OrderCancelled>().is_empty());
    Ok(())
}

#[tokio::test]
async fn an_order_that_came_to_nothing_says_why() -> Result<(), ReplayError> {
    let short = OutOfStock { product: "tea".into(), wanted: 2, available: 1 };
    let mut heard = orders()
        .given(placed("o-1"))
        .given(placed("o-2"))
        .given(StockRefused { order: "o-1".into(), reason: short.clone() })
        .given(declined("o-2"))
        .ask(GetOrder { order: "o-1".into() })
        .settle()
        .await?;
    let reasons: Vec<_> = heard
        .events::<OrderCancelled>()
        .into_iter()
        .map(|cancelled| cancelled.reason)
        .collect();
    let no_stock = Cancellation::OutOfStock(short);
    assert_eq!(
        reasons,
        [
            no_stock.clone(),
            Cancellation::PaymentDeclined(declined("o-2").reason)
        ]
    );
    let status = OrderStatus::Cancelled { reason: no_stock };
    assert!(matches!(&heard.answers::<GetOrder>()[..], [Ok(order)] if order.status == status));
    Ok(())
}

#[tokio::test]
async fn orders_are_listed_by_user_the_latest_first() -> Result<(), ReplayError> {
    let others = OrderPlaced { user: "grace".into(), ..placed("o-2") };
    let mut heard = orders()
        .given(placed("o-1"))
        .given(others)
        .given(placed("o-3"))
        .given(paid("o-1"))
        .ask(ListOrders { user: "ada".into() })
        .settle()
        .await?;
    let mut lists = heard.answers::<ListOrders>();
    let list = lists.remove(0).expect("orders can always be listed");
    let listed: Vec<_> = list
        .orders
        .iter()
        .map(|order| (order.order.as_str(), &order.status))
        .collect();
    assert_eq!(
        listed,
        [
            ("o-3", &OrderStatus::Placed),
            ("o-1", &OrderStatus::Confirmed)
        ]
    );
    Ok(())
}

#[tokio::test]
async fn a_payment_for_no_order_becomes_a_dead_letter() -> Result<(), ReplayError> {
    let mut heard = orders()
        .given(paid("o-9"))
        .ask(GetOrder { order: "o-9".into() })
        .settle()
        .await?;
    let dead: Vec<_> = heard
        .dead_letters()
        .iter()
        .map(|letter| &*letter.reason)
        .collect();
    assert_eq!(dead, ["there is no order `o-9`"]);
    let unknown = UnknownOrder { order: "o-9".into() };
    assert!(matches!(
        &heard.answers::<GetOrder>()[..],
        [Err(CallError::Rejected(why))] if *why == unknown
    ));
    Ok(())
}
