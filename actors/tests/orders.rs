//! Orders from the counter to their end.

use callboard::{CallError, Replay, ReplayError, message::Status};
use schemas::{
    Cents, Line, OrderId,
    inventory::{Hold, OutOfStock, Release, Released, Reserve},
    orders::{
        Cancellation, GetOrder, ListOrders, OrderCancelled, OrderConfirmed, OrderPlaced,
        OrderStatus, Payment, PlaceOrder, PlaceRejected, UnknownOrder,
    },
    payments::{Bill, Billed, Charge, Declined, Receipt, Void, Voided},
    products::{GetProduct, Product, UnknownProduct},
    users::{GetUser, UnknownUser, User},
};
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// The orders group, in a world that knows Ada and sells tea for 2.50, but has
/// none for a scarce order, and no money of a dear one. Of a vague order nobody knows
/// what the first attempt did, and the second is told no.
fn orders() -> Replay {
    let asked = Arc::new(AtomicBool::new(false));
    let break_down = move || assert!(asked.swap(true, Ordering::Relaxed), "it breaks down");
    let break_down_at_charge = break_down.clone();
    Replay::of(shop::orders::group(None))
        .stub(|GetUser { user }| match user.as_str() {
            "ada" => Ok(User { user, name: "Ada".into(), email: "ada@example.com".into() }),
            _ => Err(UnknownUser { user }),
        })
        .stub(|GetProduct { product }| match product.as_str() {
            "tea" => Ok(Product { product, name: "Tea".into(), price: Cents(250) }),
            _ => Err(UnknownProduct { product }),
        })
        .stub(move |Reserve { order, lines }| match order.as_str() {
            "scarce" => Err(short()),
            "vague-stock" => {
                break_down();
                Err(short())
            }
            _ => Ok(Hold { order, lines }),
        })
        .stub(|Release { order }| Ok(Released { order, lines: Vec::new() }))
        .stub(move |Charge { order, amount }| match order.as_str() {
            "dear" => Err(declined()),
            "vague-money" => {
                break_down_at_charge();
                Err(declined())
            }
            _ => Ok(Receipt { order, amount }),
        })
        .stub(|Bill { order, amount }| Ok(Billed { order, amount }))
        .stub(|Void { order }| Ok(Voided { order, refunded: Cents::ZERO }))
}

fn short() -> OutOfStock {
    OutOfStock { product: "tea".into(), wanted: 2, available: 1 }
}

const fn declined() -> Declined {
    Declined::OverLimit { limit: Cents(100) }
}

fn place(order: &str, user: &str, product: &str, quantity: u32) -> PlaceOrder {
    PlaceOrder {
        order: order.into(),
        user: user.into(),
        lines: vec![Line::new(product, quantity)],
        pay: Payment::Card,
    }
}

fn placed(order: &str) -> OrderPlaced {
    OrderPlaced {
        order: order.into(),
        user: "ada".into(),
        lines: vec![Line::new("tea", 2)],
        total: Cents(500),
        pay: Payment::Card,
    }
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
        [Ok(first), Ok(again), Err(CallError::Rejected(why))]
            if first.status == OrderStatus::Placed
                && again.status == OrderStatus::Confirmed
                && first.order == again.order
                && *why == taken
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
        [Err(CallError::Refused { status: Status::Malformed, reason, .. })]
            if reason.contains("the key is empty")
    ));
    Ok(())
}

#[tokio::test]
async fn an_order_that_is_held_and_paid_is_confirmed_once() -> Result<(), ReplayError> {
    let heard = orders()
        .given(placed("o-1"))
        .given(placed("o-1"))
        .settle()
        .await?;
    let confirmed = OrderConfirmed { order: "o-1".into(), user: "ada".into(), total: Cents(500) };
    assert_eq!(heard.events::<OrderConfirmed>(), [confirmed]);
    assert!(heard.events::<OrderCancelled>().is_empty());
    assert!(heard.commands::<Release>().is_empty());
    Ok(())
}

#[tokio::test]
async fn an_order_that_came_to_nothing_says_why() -> Result<(), ReplayError> {
    let mut heard = orders()
        .given(placed("scarce"))
        .given(placed("dear"))
        .ask(GetOrder { order: "scarce".into() })
        .settle()
        .await?;
    let reasons: Vec<_> = heard
        .events::<OrderCancelled>()
        .into_iter()
        .map(|cancelled| cancelled.reason)
        .collect();
    let no_stock = Cancellation::OutOfStock(short());
    let no_money = Cancellation::PaymentDeclined(declined());
    assert_eq!(reasons, [no_stock.clone(), no_money]);
    // What was never held is not given back.
    let released = heard.commands::<Release>();
    assert_eq!(released, [Release { order: "dear".into() }]);
    let status = OrderStatus::Cancelled { reason: no_stock };
    assert!(matches!(&heard.answers::<GetOrder>()[..], [Ok(order)] if order.status == status));
    Ok(())
}

#[tokio::test]
async fn what_a_vague_attempt_may_have_held_or_taken_is_given_back_after_a_no()
-> Result<(), ReplayError> {
    let give_back = |order: &str| {
        let order = OrderId::from(order);
        (Release { order: order.clone() }, Void { order })
    };
    let (release, void) = give_back("vague-stock");
    for (pay, billed) in [(Payment::Card, 0), (Payment::Invoice, 1)] {
        let order = OrderPlaced { pay, ..placed("vague-stock") };
        let heard = orders().given(order).settle().await?;
        assert_eq!(heard.commands::<Reserve>().len(), 2);
        assert_eq!(
            heard.commands::<Release>(),
            std::slice::from_ref(&release),
            "{pay:?}"
        );
        assert_eq!(heard.commands::<Void>(), vec![void.clone(); billed]);
        assert_eq!(heard.events::<OrderCancelled>().len(), 1);
    }
    let (release, void) = give_back("vague-money");
    let heard = orders().given(placed("vague-money")).settle().await?;
    assert_eq!(heard.commands::<Charge>().len(), 2);
    assert_eq!(heard.commands::<Void>(), [void]);
    assert_eq!(heard.commands::<Release>(), [release]);
    assert_eq!(heard.events::<OrderCancelled>().len(), 1);
    Ok(())
}

#[tokio::test]
async fn orders_are_listed_by_user_the_latest_first() -> Result<(), ReplayError> {
    let others = OrderPlaced { user: "grace".into(), ..placed("o-2") };
    let later = OrderPlaced { pay: Payment::Invoice, ..placed("o-3") };
    let mut heard = orders()
        .given(placed("o-1"))
        .given(others)
        .given(later)
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
async fn an_order_that_was_never_placed_is_not_known() -> Result<(), ReplayError> {
    let mut heard = orders()
        .ask(GetOrder { order: "o-9".into() })
        .settle()
        .await?;
    let unknown = UnknownOrder { order: "o-9".into() };
    assert!(matches!(
        &heard.answers::<GetOrder>()[..],
        [Err(CallError::Rejected(why))] if *why == unknown
    ));
    Ok(())
}
