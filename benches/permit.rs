//! A breaker's permit, against the load of an atomic that is its least.
//!
//! Quantity: permits per second on one thread, each ended with a success.

mod support;

use callboard::policy::{Breaker, Limits, Outcome};
use std::{
    hint::black_box,
    io,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};
use support::{
    Task,
    round::{Round, compare},
};

const COUNT: u64 = 2_000_000;

fn main() {
    if matches!(support::task(), Task::Measure) {
        support::runtime().block_on(async {
            taken().await;
            ended().await;
            refused().await;
        });
    }
}

/// Taking one, and no more.
async fn taken() {
    let (breaker, word) = (Breaker::new("gateway"), AtomicU64::new(0));
    let load = || black_box(&word).load(Ordering::Acquire) == 0;
    compare(
        "permit",
        async || {
            repeat(|| {
                let permit = black_box(&breaker).permit();
                // Its end is measured by itself.
                permit.map(std::mem::forget).is_ok()
            })
        },
        async || repeat(load),
    )
    .await;
}

/// Taking one and saying how it ended, against a load and a count.
async fn ended() {
    let (breaker, word) = (Breaker::new("gateway"), AtomicU64::new(0));
    let counted = AtomicU64::new(0);
    let guarded = || {
        let Ok(permit) = black_box(&breaker).permit() else {
            return false;
        };
        permit.end(Outcome::Success);
        true
    };
    let raw = || {
        let open = black_box(&word).load(Ordering::Acquire) == 0;
        black_box(&counted).fetch_add(1, Ordering::Relaxed);
        open
    };
    compare(
        "permit/ended",
        async || repeat(guarded),
        async || repeat(raw),
    )
    .await;
}

/// Being turned away, against a load, a count and the clock.
async fn refused() {
    let hour = Duration::from_hours(1);
    let limits = Limits::new().failures(1, hour).open(hour, hour);
    let breaker = Breaker::new("gateway").limits(limits);
    let broken = breaker.guard(async { Err::<(), _>(io::Error::other("refused")) });
    broken.await.expect_err("as told");
    let (word, counted) = (AtomicU64::new(2), AtomicU64::new(0));
    let raw = || {
        let until = black_box(&word).load(Ordering::Acquire);
        counted.fetch_add(1, Ordering::Relaxed);
        black_box(tokio::time::Instant::now()).elapsed() < Duration::from_secs(until)
    };
    compare(
        "permit/refused",
        async || repeat(|| black_box(&breaker).permit().is_err()),
        async || repeat(raw),
    )
    .await;
}

fn repeat(mut once: impl FnMut() -> bool) -> Round {
    let started = Instant::now();
    for _ in 0..COUNT {
        assert!(black_box(once()));
    }
    Round::of(COUNT, started.elapsed())
}
