//! What customers are told.

use callboard::{Replay, ReplayError};
use schemas::{
    Cents, EventId,
    inventory::OutOfStock,
    notifications::{ListNotifications, NotificationSent},
    orders::{Cancellation, OrderCancelled, OrderConfirmed},
};

fn confirmed(order: &str) -> OrderConfirmed {
    OrderConfirmed { order: order.into(), user: "ada".into(), total: Cents(2_500) }
}

#[tokio::test]
async fn every_end_of_an_order_is_told_once_with_its_reason() -> Result<(), ReplayError> {
    let reason = OutOfStock { product: "tea".into(), wanted: 2, available: 1 };
    let cancelled = OrderCancelled {
        order: "o-2".into(),
        user: "ada".into(),
        reason: Cancellation::OutOfStock(reason),
    };
    let mut heard = Replay::of(shop::notifications::group())
        .given(confirmed("o-1"))
        .given(cancelled)
        .ask(ListNotifications { user: "ada".into() })
        .ask(ListNotifications { user: "grace".into() })
        .settle()
        .await?;
    let told: Vec<_> = heard
        .events::<NotificationSent>()
        .into_iter()
        .map(|sent| (sent.user.to_string(), sent.text))
        .collect();
    let texts = [
        "order o-1 is confirmed, 25.00 were paid",
        "order o-2 is cancelled, out of stock: 2 of `tea` were wanted, 1 are there",
    ];
    assert_eq!(told, texts.map(|text| ("ada".to_owned(), text.to_owned())));
    let lists = heard.answers::<ListNotifications>();
    assert!(matches!(
        &lists[..],
        [Ok(ada), Ok(grace)] if ada.notifications.len() == 2
            && ada.notifications[0].order.as_str() == "o-2"
            && grace.notifications.is_empty()
    ));
    Ok(())
}

#[tokio::test]
async fn a_list_knows_what_was_told_before_it_was_started() -> Result<(), ReplayError> {
    let sent = NotificationSent {
        about: EventId::new("e-1"),
        user: "ada".into(),
        order: "o-1".into(),
        text: "hello".into(),
    };
    let mut heard = Replay::of(shop::notifications::group())
        .given(sent)
        .ask(ListNotifications { user: "ada".into() })
        .settle()
        .await?;
    let lists = heard.answers::<ListNotifications>();
    assert!(matches!(&lists[..], [Ok(ada)] if ada.notifications.len() == 1));
    Ok(())
}
