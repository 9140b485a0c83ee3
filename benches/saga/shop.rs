//! The shop, and the checkout as a saga.

use crate::support::Outcome;
use callboard::{
    Abort, Actor, Answer, Bus, Client, Command, Context, Failure, Group, Infallible, Node,
    Rejection, Running, Saga, Steps, Subject,
};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

macro_rules! command {
    ($name:ident $subject:literal { $($field:ident: $type:ty),* } => $reply:ty, $no:ty) => {
        #[derive(Clone, Debug, Serialize, Deserialize)]
        pub(crate) struct $name { pub(crate) order: String, $(pub(crate) $field: $type),* }

        impl Command for $name {
            const SUBJECT: Subject = Subject::new($subject);
            type Outcome = Result<$reply, $no>;

            fn key(&self) -> Cow<'_, str> {
                Cow::Borrowed(&self.order)
            }
        }
    };
}

command!(Hold "shelf.hold" { item: String } => String, Infallible);
command!(Free "shelf.free" { hold: String } => (), Infallible);
command!(Pay "purse.pay" { amount: u64, declined: bool } => u64, Declined);
command!(Confirm "orders.confirm" {} => (), Infallible);
command!(Buy "checkout.buy" { declined: bool } => u64, NotBought);

#[derive(Debug, Serialize, Deserialize, thiserror::Error)]
#[error("the card is declined")]
pub(crate) struct Declined;
impl Rejection for Declined {}

#[derive(Debug, Serialize, Deserialize, thiserror::Error)]
#[error("{0}")]
pub(crate) struct NotBought(String);
impl Rejection for NotBought {}

impl From<Abort> for NotBought {
    fn from(abort: Abort) -> Self {
        Self(abort.reason().to_owned())
    }
}

pub(crate) fn clerk(name: &'static str) -> Actor<()> {
    Actor::new(name, async || Ok::<_, Failure>(()))
}

/// Domains that answer at once: what is measured is not theirs.
pub(crate) async fn shop(bus: Bus) -> Outcome<Running> {
    let shelf = clerk("shelf")
        .answer(
            async |(): &mut (), hold: Hold, _: &Context| -> Answer<Hold> {
                Ok(format!("hold of {}", hold.order))
            },
        )
        .answer(async |(): &mut (), _: Free, _: &Context| -> Answer<Free> { Ok(()) });
    let purse = clerk("purse").answer(async |(): &mut (), pay: Pay, _: &Context| -> Answer<Pay> {
        if pay.declined {
            return Err(Declined.into());
        }
        Ok(pay.amount)
    });
    let orders = clerk("orders")
        .answer(async |(): &mut (), _: Confirm, _: &Context| -> Answer<Confirm> { Ok(()) });
    let node = Node::new("shop", bus)
        .namespace("bench")
        .group(Group::new("shelf").child(shelf))
        .group(Group::new("purse").child(purse))
        .group(Group::new("orders").child(orders));
    Ok(node.start().await?)
}

pub(crate) const fn is_declined(at: u64) -> bool {
    at % 10 == 3
}

pub(crate) fn id(at: u64) -> String {
    format!("order-{at:08}")
}

pub(crate) fn number(id: &str) -> u64 {
    id.rsplit('-')
        .next()
        .and_then(|number| number.parse().ok())
        .expect("an id ends in a number")
}

pub(crate) fn hold_of(order: &str) -> Hold {
    Hold { order: order.to_owned(), item: "a bottle of the house's own".to_owned() }
}

pub(crate) fn free_of(order: &str, hold: &str) -> Free {
    Free { order: order.to_owned(), hold: hold.to_owned() }
}

pub(crate) fn pay_of(order: &str, declined: bool) -> Pay {
    Pay { order: order.to_owned(), amount: 70_000, declined }
}

pub(crate) async fn checkout(steps: &mut Steps, buy: Buy) -> Result<u64, Abort> {
    let Buy { order, declined } = buy;
    let freed = order.clone();
    let free = move |hold: &String| free_of(&freed, hold);
    steps.call(hold_of(&order)).undo(free).await?;
    let paid = steps.call(pay_of(&order, declined)).await?;
    steps.call(Confirm { order }).await?;
    Ok(paid)
}

pub(crate) async fn node(bus: Bus) -> Outcome<Running> {
    let saga = Saga::new("checkout", checkout).answer(Buy::clone);
    let node = Node::new("runner", bus)
        .namespace("bench")
        .group(Group::new("checkout").child(saga));
    Ok(node.start().await?)
}

pub(crate) async fn buy(client: Client, at: u64) {
    let declined = is_declined(at);
    let bought = client.call(Buy { order: id(at), declined }).await;
    assert_eq!(bought.is_err(), declined, "{bought:?}");
}
