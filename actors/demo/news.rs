use super::progress::Settled;
use callboard::{
    Event,
    message::{Envelope, codec},
};
use schemas::{
    Line, OrderId,
    inventory::{
        StockAdded, StockFreed, StockHeld, StockRefused, StockReleased, StockRequested,
        StockReserved, StockShipped, StockSold,
    },
    notifications::NotificationSent,
    orders::{OrderCancelled, OrderConfirmed, OrderPlaced},
    payments::PaymentTaken,
    products::ProductAdded,
    users::UserRegistered,
};

/// What an event means for the demo.
#[derive(Debug)]
pub(super) struct News {
    /// The event in a few words; nothing if it is only about one product's count.
    pub(super) text: Option<String>,
    /// What is settled by it, and for which order.
    pub(super) settles: Option<(OrderId, Settled)>,
}

impl News {
    /// Reads an event of the shop.
    pub(super) fn of(event: &Envelope) -> Self {
        about_end(event)
            .or_else(|| about_product(event))
            .or_else(|| about_order(event))
            .or_else(|| about_shop(event))
            .unwrap_or_else(|| Self::only(format!("of {}", event.subject)))
    }

    const fn only(text: String) -> Self {
        Self { text: Some(text), settles: None }
    }

    const fn quiet(settles: Option<(OrderId, Settled)>) -> Self {
        Self { text: None, settles }
    }
}

fn about_end(event: &Envelope) -> Option<News> {
    let (text, settles) = if let Some(OrderConfirmed { order, total, .. }) = read(event) {
        (format!("{order}  paid {total}"), (order, Settled::Ended))
    } else if let Some(OrderCancelled { order, reason, .. }) = read(event) {
        (format!("{order}  {reason}"), (order, Settled::Ended))
    } else {
        let NotificationSent { order, user, text, .. } = read(event)?;
        (format!("to {user}: {text}"), (order, Settled::Told))
    };
    Some(News { text: Some(text), settles: Some(settles) })
}

fn about_product(event: &Envelope) -> Option<News> {
    if read::<StockHeld>(event).is_some() || read::<StockRequested>(event).is_some() {
        return Some(News::quiet(None));
    }
    if let Some(StockShipped { order, .. }) = read(event) {
        return Some(News::quiet(Some((order, Settled::Moved))));
    }
    let StockFreed { order, .. } = read(event)?;
    Some(News::quiet(Some((order, Settled::Moved))))
}

fn about_order(event: &Envelope) -> Option<News> {
    let text = if let Some(OrderPlaced { order, user, lines, total, .. }) = read(event) {
        format!("{order}  {user} wants {} for {total}", items(&lines))
    } else if let Some(StockReserved { order, lines, .. }) = read(event) {
        format!("{order}  {}", items(&lines))
    } else if let Some(StockRefused { order, reason }) = read(event) {
        format!("{order}  {reason}")
    } else if let Some(StockReleased { order, lines }) = read(event) {
        format!("{order}  {}", items(&lines))
    } else if let Some(StockSold { order, lines }) = read(event) {
        format!("{order}  {}", items(&lines))
    } else {
        let PaymentTaken { order, amount } = read(event)?;
        format!("{order}  {amount}")
    };
    Some(News::only(text))
}

fn about_shop(event: &Envelope) -> Option<News> {
    let text = if let Some(UserRegistered { user, email, .. }) = read(event) {
        format!("{user}  {email}")
    } else if let Some(ProductAdded { product, name, price }) = read(event) {
        format!("{product}  {name}, {price}")
    } else {
        let StockAdded { product, quantity } = read(event)?;
        format!("{product}  {quantity} came in")
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
