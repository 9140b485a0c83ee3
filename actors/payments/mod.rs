//! What orders cost their buyers.
//!
//! The entity `payment` is one order's: open or billed, then paid once and given
//! back at most once, or void. The till stands before it, because banks answer
//! when they like.

mod account;
mod collect;
mod till;

use account::Account;
use callboard::{Actor, Entity, Group, Strategy};
use schemas::{Cents, payments::Bill};
use std::{num::NonZeroU32, time::Duration};
use till::{Bank, Till};

/// The most that one charge may take, unless the operator says otherwise.
pub const LIMIT: Cents = Cents(100_000);

/// How many charges are answered at once: a late one keeps up few others.
const TILLS: usize = 32;

/// Returns the domain's table. A charge over the limit is declined; every so
/// many charges are answered late, if that is said.
pub fn group(limit: Cents, slow_every: Option<NonZeroU32>) -> Group {
    let bank = Bank::new(slow_every);
    Group::new("payments")
        .strategy(Strategy::OneForOne)
        .intensity(10, Duration::from_secs(10))
        .child(payment(limit))
        .child(
            Actor::new("till", move || Till::open(bank.clone()))
                .instances(TILLS)
                .answer(Till::charge),
        )
}

fn payment(limit: Cents) -> Entity<Account> {
    Entity::new("payment", Account::default)
        .decide(move |account: &Account, collect| account.collect(collect, limit))
        .decide(move |account: &Account, bill: Bill| account.bill(bill, limit))
        .decide(Account::refund)
        .decide(Account::void)
        .apply(Account::taken)
        .apply(Account::billed)
        .apply(Account::refunded)
        .apply(Account::voided)
}
