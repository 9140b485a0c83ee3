//! The message of all measures: 128 bytes of MessagePack with names.

use callboard::{Command, Event, Infallible, Subject};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Order {
    pub(crate) key: String,
    pub(crate) customer: String,
    pub(crate) amount: u64,
    pub(crate) note: String,
}

impl Order {
    /// Builds the order of this number; there are 1,000 keys.
    pub(crate) fn new(number: u64) -> Self {
        Self {
            key: format!("order-{:03}", number % 1_000),
            customer: "customer-0815".to_owned(),
            amount: 70_000,
            note: "leave it with the neighbours on the ground floor, any day before noon.."
                .to_owned(),
        }
    }
}

impl Command for Order {
    const SUBJECT: Subject = Subject::new("bench.order");
    type Outcome = Result<Self, Infallible>;
}

impl Event for Order {
    const SUBJECT: Subject = Subject::new("bench.ordered");

    fn key(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.key)
    }
}

/// Holds the message to its size.
pub(super) fn check() {
    assert_eq!(encode(&Order::new(7)).len(), 128, "bytes of a message");
}

/// Encodes as the wire format demands, with nothing around it.
pub(crate) fn encode(order: &Order) -> Vec<u8> {
    rmp_serde::to_vec_named(order).expect("it is plain data")
}

/// Decodes with nothing around it.
pub(crate) fn decode(bytes: &[u8]) -> Order {
    rmp_serde::from_slice(bytes).expect("it is an order")
}
