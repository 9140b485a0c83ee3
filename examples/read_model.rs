//! A read model folds events, also those from before it was thought of, and
//! reads old versions of them.
//!
//! ```text
//! $ cargo run --example read_model
//! tea was sold for 12.50
//! ```

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use callboard::{
    Answer, Bus, Client, Command, Event, Group, Infallible, Node, Projection, Subject,
    message::{EventError, Namespace, Older},
    projection::{Lag, Seen},
};
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, collections::HashMap, error::Error};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let bus = Bus::embedded();
    let client = Client::new(bus.clone(), Namespace::default());
    client.publish(SoldV1("tea".into(), 8)).await?;
    client.publish(Sold("tea".into(), 450)).await?;

    let sales = Projection::new("sales", Sales::default)
        .fold(Sales::sold)
        .answer(Sales::of);
    let node = Node::new("node-1", bus).group(Group::new("sales").child(sales));
    let node = node.start().await?;
    let cents = client.call(SalesOf("tea".into())).await?;
    println!("tea was sold for {}.{:02}", cents / 100, cents % 100);
    Ok(node.stop().await?)
}

#[derive(Default, Serialize, Deserialize)]
struct Sales(HashMap<String, u64>);

impl Sales {
    fn sold(&mut self, Sold(product, cents): &Sold, _: &Seen) {
        *self.0.entry(product.clone()).or_default() += cents;
    }

    fn of(&self, asked: &SalesOf, _: &Lag) -> Answer<SalesOf> {
        Ok(self.0.get(&asked.0).copied().unwrap_or_default())
    }
}

#[derive(Serialize, Deserialize)]
struct SalesOf(String);
impl Command for SalesOf {
    const SUBJECT: Subject = Subject::new("sales.of");
    type Outcome = Result<u64, Infallible>;
}

/// A product, and what it was sold for; once that was told in coins.
#[derive(Serialize, Deserialize)]
struct SoldV1(String, u64);
#[derive(Serialize, Deserialize)]
struct Sold(String, u64);

impl Event for SoldV1 {
    const SUBJECT: Subject = Subject::new("till.sold");
    fn key(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.0)
    }
}

impl Event for Sold {
    const SUBJECT: Subject = SoldV1::SUBJECT;
    const VERSION: u32 = 2;
    fn key(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.0)
    }
    fn upcast(older: Older<'_>) -> Result<Self, EventError> {
        let SoldV1(product, coins) = older.read()?;
        Ok(Self(product, coins * 100))
    }
}
