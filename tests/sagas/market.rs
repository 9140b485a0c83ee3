//! The market that these tests shop in: a shelf, a purse, and orders.

#![expect(clippy::unused_self, reason = "the signature of a decision is fixed")]

use callboard::{
    Abort, Command, Entity, Event, Group, Infallible, Rejection, Saga, Steps, Subject,
};
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, collections::BTreeSet, time::Duration};

pub(crate) type Outcome = Result<(), Box<dyn std::error::Error>>;

macro_rules! keyed {
    ($trait:ident $name:ident $subject:literal by $key:ident { $($field:ident: $type:ty),* } $(=> $outcome:ty)?) => {
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        pub(crate) struct $name { $(pub(crate) $field: $type),* }

        impl $trait for $name {
            const SUBJECT: Subject = Subject::new($subject);
            $(type Outcome = $outcome;)?

            fn key(&self) -> Cow<'_, str> {
                Cow::Borrowed(&self.$key)
            }
        }
    };
}

keyed!(Event Placed "orders.placed" by order { order: String, amount: u64 });
keyed!(Event Confirmed "orders.confirmed" by order { order: String });
keyed!(Event Refused "orders.refused" by order { order: String, reason: String });
keyed!(Event Cleared "fraud.cleared" by order { order: String });
keyed!(Event Held "shelf.held" by item { item: String, order: String });
keyed!(Event Freed "shelf.freed" by item { item: String, order: String });
keyed!(Event Paid "purse.paid" by user { user: String, order: String, amount: u64 });
keyed!(Event Repaid "purse.repaid" by user { user: String, order: String, amount: u64 });

keyed!(Command Hold "shelf.hold" by item { item: String, order: String } => Result<String, OutOfStock>);
keyed!(Command Free "shelf.free" by item { item: String, order: String } => Result<(), Infallible>);
keyed!(Command Pay "purse.pay" by user { user: String, order: String, amount: u64 } => Result<u64, Declined>);
keyed!(Command Repay "purse.repay" by user { user: String, order: String, amount: u64 } => Result<(), Infallible>);
keyed!(Command Confirm "orders.confirm" by order { order: String } => Result<(), TooLate>);
keyed!(Command Refuse "orders.refuse" by order { order: String, reason: String } => Result<(), Infallible>);

macro_rules! rejections {
    ($($name:ident $text:literal)*) => {$(
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, thiserror::Error)]
        #[error($text)]
        pub(crate) struct $name;
        impl Rejection for $name {}
    )*};
}

rejections!(OutOfStock "there is none left" Declined "the purse is empty" TooLate "it is too late");

/// Orders whose name says so are scarce, declined or too late.
#[derive(Default)]
struct Shelf {
    held: BTreeSet<String>,
}

impl Shelf {
    fn hold(&self, hold: Hold) -> Result<(Held, String), OutOfStock> {
        let Hold { item, order } = hold;
        if order.contains("scarce") || self.held.contains(&order) {
            return Err(OutOfStock);
        }
        let hold = format!("hold of {order}");
        Ok((Held { item, order }, hold))
    }

    fn free(&self, free: Free) -> Result<Freed, Infallible> {
        let Free { item, order } = free;
        Ok(Freed { item, order })
    }
}

#[derive(Default)]
struct Purse {
    paid: u64,
}

impl Purse {
    fn pay(&self, pay: Pay) -> Result<(Paid, u64), Declined> {
        let Pay { user, order, amount } = pay;
        if order.contains("declined") {
            return Err(Declined);
        }
        Ok((Paid { user, order, amount }, self.paid + amount))
    }

    fn repay(&self, repay: Repay) -> Result<Repaid, Infallible> {
        let Repay { user, order, amount } = repay;
        Ok(Repaid { user, order, amount })
    }
}

struct Order;

impl Order {
    fn confirm(&self, confirm: Confirm) -> Result<Confirmed, TooLate> {
        if confirm.order.contains("late") {
            return Err(TooLate);
        }
        Ok(Confirmed { order: confirm.order })
    }

    fn refuse(&self, refuse: Refuse) -> Result<Refused, Infallible> {
        let Refuse { order, reason } = refuse;
        Ok(Refused { order, reason })
    }
}

pub(crate) fn shelf() -> Group {
    Group::new("shelf").child(
        Entity::new("shelf", Shelf::default)
            .decide(Shelf::hold)
            .decide(Shelf::free)
            .apply(|shelf: &mut Shelf, held: &Held| {
                shelf.held.insert(held.order.clone());
            })
            .apply(|shelf: &mut Shelf, freed: &Freed| {
                shelf.held.remove(&freed.order);
            }),
    )
}

pub(crate) fn purse() -> Group {
    Group::new("purse").child(
        Entity::new("purse", Purse::default)
            .decide(Purse::pay)
            .decide(Purse::repay)
            .apply(|purse: &mut Purse, paid: &Paid| purse.paid += paid.amount)
            .apply(|purse: &mut Purse, repaid: &Repaid| purse.paid -= repaid.amount),
    )
}

/// The orders, and the saga that they are checked out by.
pub(crate) fn orders<I, T>(saga: Saga<I, T>) -> Group
where
    I: 'static,
    T: 'static,
{
    Group::new("orders")
        .child(
            Entity::new("order", || Order)
                .decide(Order::confirm)
                .decide(Order::refuse)
                .ignore::<Placed>()
                .ignore::<Confirmed>()
                .ignore::<Refused>(),
        )
        .child(saga)
}

pub(crate) fn hold(order: &str) -> Hold {
    Hold { item: order.into(), order: order.into() }
}

pub(crate) fn pay(order: &str, amount: u64) -> Pay {
    Pay { user: order.into(), order: order.into(), amount }
}

pub(crate) fn free(order: &str) -> Free {
    Free { item: order.into(), order: order.into() }
}

pub(crate) fn repay(order: &str, amount: u64) -> Repay {
    Repay { user: order.into(), order: order.into(), amount }
}

pub(crate) fn placed(order: &str) -> Placed {
    Placed { order: order.into(), amount: 7 }
}

pub(crate) async fn checkout(steps: &mut Steps, placed: Placed) -> Result<String, Abort> {
    let Placed { order, amount } = placed;
    let back = free(&order);
    let hold = steps.call(hold(&order)).undo(move |_| back).await?;
    let back = repay(&order, amount);
    steps.call(pay(&order, amount)).undo(move |_| back).await?;
    steps.call(Confirm { order }).await?;
    Ok(hold)
}

pub(crate) fn checkouts() -> Saga<Placed, String> {
    Saga::new("checkout", checkout)
        .takeover_after(Duration::from_secs(2))
        .on(|placed: Placed| placed)
        .on_abort(|placed: Placed, abort| Refuse { order: placed.order, reason: abort.to_string() })
}
