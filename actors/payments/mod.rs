//! What orders cost their buyers.
//!
//! The entity `payment` is one order's: open, perhaps declined, paid once, and
//! given back at most once. The till charges what stock was held for.

mod account;
mod collect;
mod till;

use crate::RETRY;
use account::Account;
use callboard::{Actor, Entity, Group, Strategy};
use schemas::{Cents, payments::Charge};
use std::time::Duration;
use till::Till;

/// The most that one charge may take, unless the operator says otherwise.
pub const LIMIT: Cents = Cents(100_000);

/// Returns the domain's table; a charge over the limit is declined.
pub fn group(limit: Cents) -> Group {
    Group::new("payments")
        .strategy(Strategy::OneForOne)
        .intensity(10, Duration::from_secs(10))
        .child(payment(limit))
        .child(
            Actor::new("till", Till::open)
                .instances(4)
                .retry(RETRY)
                .on(Till::stock_reserved),
        )
}

fn payment(limit: Cents) -> Entity<Account> {
    Entity::new("payment", Account::default)
        .decide(move |account: &Account, charge: Charge| account.charge(charge, limit))
        .decide(move |account: &Account, collect| account.collect(collect, limit))
        .decide(Account::refund)
        .apply(Account::taken)
        .apply(Account::declined)
        .apply(Account::refunded)
}
