use callboard::{Event, error::BoxError, message::Envelope};
use schemas::{
    Cents, OrderId,
    payments::{PaymentBilled, PaymentRefunded, PaymentTaken, PaymentVoided},
};
use std::collections::{BTreeMap, BTreeSet};

/// What the events of `payments` add up to.
#[derive(Debug, Default)]
pub(crate) struct Money {
    accounts: BTreeMap<OrderId, Account>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Account {
    Billed(Cents),
    Paid(Cents),
    Refunded(Cents),
    Void,
}

impl Money {
    /// Goes through the events, and fails where money is taken or given back
    /// that cannot be.
    pub(crate) fn of(events: &[Envelope]) -> Result<Self, BoxError> {
        let mut money = Self::default();
        for event in events {
            money.next(event)?;
        }
        Ok(money)
    }

    fn next(&mut self, event: &Envelope) -> Result<(), BoxError> {
        if event.kind == PaymentBilled::SUBJECT.as_str() {
            let PaymentBilled { order, amount } = event.event()?;
            let before = self.accounts.insert(order, Account::Billed(amount));
            assert_eq!(before, None, "billed once, and first of all");
        } else if event.kind == PaymentTaken::SUBJECT.as_str() {
            let PaymentTaken { order, amount } = event.event()?;
            let before = self.accounts.insert(order, Account::Paid(amount));
            let is_open = before.is_none_or(|before| before == Account::Billed(amount));
            assert!(is_open, "charged once, what was billed: {before:?}");
        } else if event.kind == PaymentRefunded::SUBJECT.as_str() {
            let PaymentRefunded { order, amount } = event.event()?;
            let before = self.accounts.insert(order, Account::Refunded(amount));
            assert_eq!(before, Some(Account::Paid(amount)), "given back once");
        } else if event.kind == PaymentVoided::SUBJECT.as_str() {
            let PaymentVoided { order } = event.event()?;
            let before = self.accounts.insert(order, Account::Void);
            let is_unpaid = matches!(before, None | Some(Account::Billed(_)));
            assert!(is_unpaid, "void before it was paid: {before:?}");
        }
        Ok(())
    }

    /// Returns what is kept of each order.
    pub(crate) fn kept(&self) -> BTreeMap<OrderId, Cents> {
        let paid = self.accounts.iter().filter_map(|(order, account)| {
            let Account::Paid(amount) = account else {
                return None;
            };
            Some((order.clone(), *amount))
        });
        paid.collect()
    }

    /// Returns the orders whose money was given back.
    pub(crate) fn refunded(&self) -> BTreeSet<OrderId> {
        let all = self.accounts.iter();
        let refunded = all.filter(|(_, account)| matches!(account, Account::Refunded(_)));
        refunded.map(|(order, _)| order.clone()).collect()
    }
}
