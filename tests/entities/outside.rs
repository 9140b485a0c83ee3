//! Decisions that need something from outside first.

use crate::bank::Outcome;
use callboard::{
    Actor, Answer, Bus, Command, Context, Entity, Event, Failure, Group, Infallible, Node, Refusal,
    Rejection, Subject, message::Id,
};
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, time::SystemTime};

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Buy {
    cart: String,
    item: String,
}

#[derive(Debug, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[error("there is no {item}")]
struct Unknown {
    item: String,
}

impl Rejection for Unknown {}

impl Command for Buy {
    const SUBJECT: Subject = Subject::new("carts.buy");
    type Outcome = Result<u64, Unknown>;

    fn key(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.cart)
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Bought {
    cart: String,
    price: u64,
    at: SystemTime,
}

impl Event for Bought {
    const SUBJECT: Subject = Subject::new("carts.bought");

    fn key(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.cart)
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Price {
    item: String,
}

impl Command for Price {
    const SUBJECT: Subject = Subject::new("prices.price");
    type Outcome = Result<Option<u64>, Infallible>;
}

/// Every price is one more than the one before.
struct Prices(u64);

impl Prices {
    async fn price(&mut self, price: Price, _: &Context) -> Answer<Price> {
        assert!(price.item != "bomb", "it went off");
        self.0 += 1;
        assert!(price.item != "fuse" || self.0 == 1, "it burns once");
        let is_there = price.item == "tea" || self.0 == 1;
        Ok(is_there.then_some(self.0))
    }
}

#[derive(Default)]
struct Cart {
    sum: u64,
}

impl Cart {
    async fn price(buy: &Buy, ctx: &Context) -> Result<(u64, SystemTime), Refusal<Unknown>> {
        let item = buy.item.clone();
        match ctx.call(Price { item: item.clone() }).await? {
            Some(price) => Ok((price, ctx.now())),
            None => Err(Unknown { item }.into()),
        }
    }

    fn buy(&self, buy: Buy, (price, at): (u64, SystemTime)) -> Result<(Bought, u64), Unknown> {
        Ok((Bought { cart: buy.cart, price, at }, self.sum + price))
    }
}

fn groups() -> [Group; 2] {
    let cart = Entity::new("cart", Cart::default)
        .decide_with(Cart::price, Cart::buy)
        .apply(|cart: &mut Cart, bought: &Bought| cart.sum += bought.price);
    let prices = Actor::new("prices", async || Ok::<_, Failure>(Prices(0))).answer(Prices::price);
    [
        Group::new("carts").child(cart),
        Group::new("prices").child(prices),
    ]
}

fn buy(item: &str) -> Buy {
    Buy { cart: "c-1".into(), item: item.into() }
}

#[tokio::test]
async fn what_was_found_out_first_is_decided_on_the_state_of_then() -> Outcome {
    let [carts, prices] = groups();
    let node = Node::new("one", Bus::embedded())
        .group(carts)
        .group(prices)
        .start()
        .await?;
    let client = node.client();
    assert_eq!(client.call(buy("tea")).await?, 1);
    assert_eq!(client.call(buy("tea")).await?, 1 + 2);
    let unknown = client.call(buy("jet")).outcome().await?;
    assert_eq!(unknown, Err(Unknown { item: "jet".into() }));
    assert!(client.call(buy("bomb")).await.is_err());
    assert_eq!(
        client.call(buy("tea")).await?,
        1 + 2 + 1,
        "the prices began anew"
    );
    node.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_repeated_command_gets_the_first_reply_though_the_world_moved_on() -> Outcome {
    let [carts, prices] = groups();
    let node = Node::new("one", Bus::embedded())
        .group(carts)
        .group(prices)
        .start()
        .await?;
    let (client, id) = (node.client(), Id::new());
    assert_eq!(client.call(buy("tea")).id(id.clone()).await?, 1);
    assert_eq!(client.call(buy("tea")).await?, 3);
    assert_eq!(client.call(buy("tea")).id(id).await?, 1);
    node.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_repeated_command_gets_the_first_reply_though_the_world_says_no_now() -> Outcome {
    // There is one of each: gone, and broken, when it is asked for again.
    for (item, prefer_local) in [("last", true), ("fuse", true), ("last", false)] {
        let [carts, prices] = groups();
        let node = Node::new("one", Bus::embedded())
            .prefer_local(prefer_local)
            .group(carts)
            .group(prices)
            .start()
            .await?;
        let (client, id) = (node.client(), Id::from("buy-1"));
        assert_eq!(client.call(buy(item)).id(id.clone()).await?, 1);
        let again = client.call(buy(item)).id(id).outcome().await;
        assert_eq!(
            again.map_err(|error| error.to_string()),
            Ok(Ok(1)),
            "{item}"
        );
        let other = client.call(buy("last")).id(Id::from("buy-2"));
        let unknown = Unknown { item: "last".into() };
        if item == "last" {
            assert_eq!(other.outcome().await?, Err(unknown));
        }
        node.stop().await?;
    }
    Ok(())
}
