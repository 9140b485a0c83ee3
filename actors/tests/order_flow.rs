//! The whole shop: what one order sets in motion.

use callboard::{Actor, Context, Failure, Group, Replay, ReplayError};
use schemas::{
    Cents, Line,
    inventory::{GetStock, OutOfStock, Stock},
    notifications::NotificationSent,
    orders::{Cancellation, OrderCancelled, OrderConfirmed, OrderPlaced, Payment, PlaceOrder},
    payments::Declined,
    products::AddProduct,
    users::Register,
};
use shop::groups::{Name, Settings};

const SETTINGS: Settings = Settings::limit(Cents(10_000));

/// All groups; Ada is registered, and there are five pots for 25.00.
fn open_shop() -> Replay {
    let [first, others @ ..] = Name::ALL;
    others
        .into_iter()
        .fold(Replay::of(first.group(&SETTINGS)), |shop, name| {
            shop.with(name.group(&SETTINGS))
        })
        .ask(Register { name: "Ada".into(), email: "ada@example.com".into() })
        .ask(AddProduct { product: "pot".into(), name: "Pot".into(), price: Cents(2_500) })
        .ask(Stock { product: "pot".into(), quantity: 5 })
}

fn place(order: &str, quantity: u32) -> PlaceOrder {
    PlaceOrder {
        order: order.into(),
        user: "ada".into(),
        lines: vec![Line::new("pot", quantity)],
        pay: Payment::Card,
    }
}

#[tokio::test]
async fn an_order_that_can_be_filled_is_confirmed_and_told() -> Result<(), ReplayError> {
    let heard = open_shop().ask(place("o-1", 2)).settle().await?;
    let mut story = heard.kinds();
    // Domains do not wait for each other: the order is told within each only.
    story.sort_by_key(|kind| kind.split('.').next());
    let expected = [
        "inventory.added",
        "inventory.requested",
        "inventory.held",
        "inventory.reserved",
        "inventory.sold",
        "inventory.shipped",
        "notifications.sent",
        "orders.placed",
        "orders.confirmed",
        "payments.taken",
        "products.added",
        "users.registered",
    ];
    assert_eq!(story, expected);
    assert!(heard.dead_letters().is_empty());
    Ok(())
}

#[tokio::test]
async fn an_order_over_the_limit_is_cancelled_and_its_stock_released() -> Result<(), ReplayError> {
    let mut heard = open_shop()
        .ask(place("o-1", 5))
        .ask(GetStock { product: "pot".into() })
        .settle()
        .await?;
    let cancelled = OrderCancelled {
        order: "o-1".into(),
        user: "ada".into(),
        reason: Cancellation::PaymentDeclined(Declined::OverLimit {
            limit: SETTINGS.payment_limit,
        }),
    };
    assert_eq!(heard.events::<OrderCancelled>(), [cancelled]);
    assert!(matches!(
        &heard.answers::<GetStock>()[..],
        [Ok(level)] if (level.available, level.reserved) == (5, 0)
    ));
    assert_eq!(heard.events::<NotificationSent>().len(), 1);
    Ok(())
}

#[tokio::test]
async fn an_order_for_more_than_there_is_is_cancelled_and_nothing_charged()
-> Result<(), ReplayError> {
    let heard = open_shop().ask(place("o-1", 6)).settle().await?;
    let reason = OutOfStock { product: "pot".into(), wanted: 6, available: 5 };
    let cancelled = OrderCancelled {
        order: "o-1".into(),
        user: "ada".into(),
        reason: Cancellation::OutOfStock(reason),
    };
    assert_eq!(heard.events::<OrderCancelled>(), [cancelled]);
    assert!(
        !heard
            .kinds()
            .iter()
            .any(|kind| kind.starts_with("payments."))
    );
    Ok(())
}

/// An auditor who cannot bear any order.
#[derive(Debug)]
struct Auditor;

impl Auditor {
    #[expect(clippy::panic, reason = "this is what the auditor is for")]
    async fn order_placed(&mut self, placed: OrderPlaced, _: &Context) -> Result<(), Failure> {
        panic!("{} is too much", placed.order)
    }
}

#[tokio::test]
async fn a_panic_in_one_domain_leaves_the_others_alone() -> Result<(), ReplayError> {
    let auditor = Actor::new("auditor", async || Ok(Auditor)).on(Auditor::order_placed);
    let heard = open_shop()
        .with(Group::new("audit").child(auditor))
        .ask(place("o-1", 1))
        .ask(place("o-2", 1))
        .settle()
        .await?;
    assert_eq!(heard.events::<OrderConfirmed>().len(), 2);
    assert_eq!(heard.events::<NotificationSent>().len(), 2);
    assert_eq!(heard.parked().len(), 2);
    for group in &heard.tree().groups {
        let restarts: u32 = group.children.iter().map(|child| child.restarts).sum();
        assert_eq!(
            restarts > 0,
            group.name == "audit",
            "{}: {restarts}",
            group.name
        );
    }
    Ok(())
}
