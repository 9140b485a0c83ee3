//! The whole shop in a replay.

use super::Audit;
use callboard::{Heard, Replay, error::BoxError};
use schemas::{
    Cents, Line,
    inventory::{GetStock, Stock},
    orders::{Payment, PlaceOrder},
    products::AddProduct,
    users::Register,
};
use shop::groups::{Name, Settings};
use std::num::NonZeroU32;

/// What there is: name, price, and how many.
const RANGE: [(&str, Cents, u32); 2] = [("pot", Cents(2_500), 5), ("cup", Cents(100), 1)];

/// All groups; Ada is registered, and there are five pots for 25.00 and a cup
/// for 1.00. The limit of a payment is 100.00.
pub(crate) fn open_shop(slow_payments: Option<NonZeroU32>) -> Replay {
    let settings = Settings { slow_payments, ..Settings::limit(Cents(10_000)) };
    let [first, others @ ..] = Name::ALL;
    let shop = others
        .into_iter()
        .fold(Replay::of(first.group(&settings)), |shop, name| {
            shop.with(name.group(&settings))
        })
        .ask(Register { name: "Ada".into(), email: "ada@example.com".into() });
    RANGE
        .into_iter()
        .fold(shop, |shop, (name, price, quantity)| {
            shop.ask(AddProduct { product: name.into(), name: name.into(), price })
                .ask(Stock { product: name.into(), quantity })
        })
}

pub(crate) fn place(order: &str, (product, quantity): (&str, u32), pay: Payment) -> PlaceOrder {
    let lines = vec![Line::new(product, quantity)];
    PlaceOrder { order: order.into(), user: "ada".into(), lines, pay }
}

/// Plays to the end, and checks that nothing is lost or kept that should not be.
pub(crate) async fn audited(play: Replay) -> Result<Heard, BoxError> {
    let levels = RANGE.map(|(name, ..)| GetStock { product: name.into() });
    let mut heard = levels.into_iter().fold(play, Replay::ask).settle().await?;
    let audit = Audit::heard(&heard)?;
    audit.assert_sound();
    for ((name, _, quantity), level) in RANGE.into_iter().zip(heard.answers::<GetStock>()) {
        let (count, level) = (audit.stock.count(name), level?);
        assert_eq!(count.added, u64::from(quantity));
        let available = u64::from(level.available);
        assert_eq!((available, level.reserved), (count.available, 0));
    }
    Ok(heard)
}

/// Returns what happened, in each domain in order, but for what belongs to the
/// shop before there were orders.
pub(crate) fn story(heard: &Heard) -> Vec<String> {
    let before = ["users.registered", "products.added", "inventory.added"];
    let mut story: Vec<_> = heard.kinds().into_iter().map(str::to_owned).collect();
    story.retain(|kind| !before.contains(&kind.as_str()));
    story.sort_by_key(|kind| kind.split('.').next().map(str::to_owned));
    story
}
