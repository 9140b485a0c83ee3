//! A value to bytes and back, within bounds, against the bare serializer.
//!
//! Quantity: messages per second on one thread; the times are of one message.

mod support;

use callboard::message::codec;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{hint::black_box, time::Instant};
use support::{
    Task,
    order::Order,
    round::{Round, compare},
};

const COUNT: u64 = 100_000;

#[derive(Serialize, Deserialize)]
struct Basket {
    orders: Vec<Order>,
}

#[derive(Serialize, Deserialize)]
struct Counted {
    count: u64,
}

fn main() {
    if matches!(support::task(), Task::Measure) {
        support::runtime().block_on(async {
            measure("small", &Counted { count: 7 }, COUNT).await;
            measure("128", &Order::new(7), COUNT).await;
            let orders = (0..32).map(Order::new).collect();
            measure("4096", &Basket { orders }, COUNT / 32).await;
        });
    }
}

async fn measure<T: Serialize + DeserializeOwned>(size: &str, value: &T, count: u64) {
    let bytes = codec::encode(value).expect("it is plain data");
    compare(
        &format!("codec/encode-{size}"),
        async || repeat(count, || codec::encode(black_box(value))),
        async || repeat(count, || rmp_serde::to_vec_named(black_box(value))),
    )
    .await;
    compare(
        &format!("codec/decode-{size}"),
        async || repeat(count, || codec::decode::<T>(black_box(&bytes))),
        async || repeat(count, || rmp_serde::from_slice::<T>(black_box(&bytes))),
    )
    .await;
}

fn repeat<R, E>(count: u64, work: impl Fn() -> Result<R, E>) -> Round {
    let started = Instant::now();
    for _ in 0..count {
        assert!(black_box(work()).is_ok());
    }
    Round::of(count, started.elapsed())
}
