//! What orders cost their buyers.
//!
//! An order is charged once: all that its payment goes through stands on the
//! order's key, and each step is published after the last one that was seen.

mod account;
mod till;

use callboard::{Actor, Group, Strategy};
use schemas::Cents;
use std::time::Duration;
use till::Till;

/// The most that one charge may take, unless the operator says otherwise.
pub const LIMIT: Cents = Cents(100_000);

/// Returns the domain's table; a charge over the limit is declined.
pub fn group(limit: Cents) -> Group {
    Group::new("payments")
        .strategy(Strategy::OneForOne)
        .intensity(10, Duration::from_secs(10))
        .child(
            Actor::new("till", async move || Till::open(limit).await)
                .instances(4)
                .answer(Till::charge)
                .answer(Till::refund)
                .on(Till::stock_reserved),
        )
}
