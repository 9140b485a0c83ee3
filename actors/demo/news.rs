use super::progress::Settled;
use callboard::{
    Event,
    message::{Envelope, codec},
};
use schemas::{
    Line, OrderId,
    inventory::{StockAdded, StockRefused, StockReleased, StockReserved},
    notifications::NotificationSent,
    orders::{Cancellation, OrderCancelled, OrderConfirmed, OrderPlaced},
    payments::{PaymentDeclined, PaymentTaken},
    products::ProductAdded,
    users::UserRegistered,
};

/// What an event means for the demo.
#[derive(Debug)]
pub(super) struct News {
    /// The event in a few words.
    pub(super) text: String,
    /// What is settled by it, and for which order.
    pub(super) settles: Option<(OrderId, Settled)>,
}

impl News {
    /// Reads an event of the shop.
    pub(super) fn of(event: &Envelope) -> Self {
        about_order(event)
            .or_else(|| about_shop(event))
            .unwrap_or_else(|| Self::only(format!("of {}", event.subject)))
    }

    const fn only(text: String) -> Self {
        Self { text, settles: None }
    }
}

fn about_order(event: &Envelope) -> Option<News> {
    if let Some(OrderConfirmed { order, total, .. }) = read(event) {
        let text = format!("{order}  paid {total}");
        let ended = Settled::Ended { gives_back: false };
        return Some(News { text, settles: Some((order, ended)) });
    }
    if let Some(OrderCancelled { order, reason, .. }) = read(event) {
        let text = format!("{order}  {reason}");
        let gives_back = matches!(reason, Cancellation::PaymentDeclined(_));
        let ended = Settled::Ended { gives_back };
        return Some(News { text, settles: Some((order, ended)) });
    }
    if let Some(StockReleased { order, lines }) = read(event) {
        let text = format!("{order}  {}", items(&lines));
        return Some(News { text, settles: Some((order, Settled::Released)) });
    }
    let NotificationSent { order, user, text, .. } = read(event)?;
    let text = format!("to {user}: {text}");
    Some(News { text, settles: Some((order, Settled::Told)) })
}

fn about_shop(event: &Envelope) -> Option<News> {
    let text = if let Some(UserRegistered { user, email, .. }) = read(event) {
        format!("{user}  {email}")
    } else if let Some(ProductAdded { product, name, price }) = read(event) {
        format!("{product}  {name}, {price}")
    } else if let Some(StockAdded { product, quantity }) = read(event) {
        format!("{product}  {quantity} came in")
    } else if let Some(OrderPlaced { order, user, lines, total }) = read(event) {
        format!("{order}  {user} wants {} for {total}", items(&lines))
    } else if let Some(StockReserved { order, lines, .. }) = read(event) {
        format!("{order}  {}", items(&lines))
    } else if let Some(StockRefused { order, reason }) = read(event) {
        format!("{order}  {reason}")
    } else if let Some(PaymentTaken { order, amount }) = read(event) {
        format!("{order}  {amount}")
    } else {
        let PaymentDeclined { order, amount, reason } = read(event)?;
        format!("{order}  {amount}: {reason}")
    };
    Some(News::only(text))
}

/// Writes `2 tea, 1 teapot`.
pub(super) fn items(lines: &[Line]) -> String {
    let items: Vec<_> = lines
        .iter()
        .map(|Line { product, quantity }| format!("{quantity} {product}"))
        .collect();
    items.join(", ")
}

/// Returns the event if it is of this type.
fn read<E: Event>(event: &Envelope) -> Option<E> {
    if event.kind != E::SUBJECT.as_str() {
        return None;
    }
    codec::decode(&event.payload).ok()
}
