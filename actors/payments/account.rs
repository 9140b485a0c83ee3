#![expect(
    clippy::unnecessary_wraps,
    reason = "the signature of a decision is fixed; not every one says no"
)]

use super::collect::Collect;
use callboard::{Decision, Infallible};
use schemas::{
    Cents,
    payments::{
        Bill, Billed, Declined, NotCharged, PaymentBilled, PaymentRefunded, PaymentTaken,
        PaymentVoided, Receipt, Refund, Refunded, Void, Voided,
    },
};

/// Where an order's payment stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Account {
    /// Nobody asked for anything yet.
    #[default]
    Open,
    /// It may be paid, with this amount only.
    Billed(Cents),
    /// It is paid.
    Paid(Cents),
    /// It was paid and given back.
    Refunded(Cents),
    /// It was not paid, and cannot be any more.
    Void,
}

impl Account {
    pub(super) fn collect(
        &self,
        collect: Collect,
        limit: Cents,
    ) -> Result<Decision<Receipt>, Declined> {
        let Collect { order, amount } = collect;
        let receipt = Receipt { order: order.clone(), amount };
        match *self {
            Self::Paid(before) if before == amount => Ok(Decision::nothing().reply(receipt)),
            Self::Paid(amount) | Self::Refunded(amount) => Err(Declined::AlreadyCharged { amount }),
            Self::Void => Err(Declined::Void),
            Self::Billed(billed) if billed != amount => Err(Declined::OtherAmount { billed }),
            Self::Open | Self::Billed(_) if amount > limit => Err(Declined::OverLimit { limit }),
            Self::Open | Self::Billed(_) => Ok((PaymentTaken { order, amount }, receipt).into()),
        }
    }

    /// Lets an order be paid later. What was paid before is left to who asks.
    pub(super) fn bill(&self, bill: Bill, limit: Cents) -> Result<Decision<Billed>, Declined> {
        let Bill { order, amount } = bill;
        let billed = Billed { order: order.clone(), amount };
        match *self {
            Self::Open if amount > limit => Err(Declined::OverLimit { limit }),
            Self::Open => Ok((PaymentBilled { order, amount }, billed).into()),
            Self::Billed(before) if before != amount => {
                Err(Declined::OtherAmount { billed: before })
            }
            Self::Billed(_) | Self::Paid(_) => Ok(Decision::nothing().reply(billed)),
            Self::Refunded(amount) => Err(Declined::AlreadyCharged { amount }),
            Self::Void => Err(Declined::Void),
        }
    }

    pub(super) fn refund(&self, refund: Refund) -> Result<Decision<Refunded>, NotCharged> {
        let order = refund.order;
        match *self {
            Self::Open | Self::Billed(_) | Self::Void => Err(NotCharged { order }),
            Self::Refunded(amount) => Ok(Decision::nothing().reply(Refunded { order, amount })),
            Self::Paid(amount) => {
                let refunded = Refunded { order: order.clone(), amount };
                Ok((PaymentRefunded { order, amount }, refunded).into())
            }
        }
    }

    /// Takes no money any more, and keeps none.
    pub(super) fn void(&self, void: Void) -> Result<Decision<Voided>, Infallible> {
        let order = void.order;
        let voided = |refunded| Voided { order: order.clone(), refunded };
        match *self {
            Self::Open | Self::Billed(_) => {
                let none = voided(Cents::ZERO);
                Ok((PaymentVoided { order }, none).into())
            }
            Self::Paid(amount) => {
                let all = voided(amount);
                Ok((PaymentRefunded { order, amount }, all).into())
            }
            Self::Refunded(amount) => Ok(Decision::nothing().reply(voided(amount))),
            Self::Void => Ok(Decision::nothing().reply(voided(Cents::ZERO))),
        }
    }

    pub(super) const fn taken(&mut self, taken: &PaymentTaken) {
        *self = Self::Paid(taken.amount);
    }

    pub(super) const fn billed(&mut self, billed: &PaymentBilled) {
        *self = Self::Billed(billed.amount);
    }

    pub(super) const fn refunded(&mut self, refunded: &PaymentRefunded) {
        *self = Self::Refunded(refunded.amount);
    }

    pub(super) const fn voided(&mut self, _: &PaymentVoided) {
        *self = Self::Void;
    }
}

#[cfg(test)]
mod tests {
    use super::Account;
    use crate::payments::collect::Collect;
    use schemas::{
        Cents,
        payments::{Bill, Declined, Void},
    };

    const LIMIT: Cents = Cents(100);
    const ALL: [Account; 5] = [
        Account::Open,
        Account::Billed(Cents(7)),
        Account::Paid(Cents(7)),
        Account::Refunded(Cents(7)),
        Account::Void,
    ];

    /// Writes what was decided, for comparison.
    fn decided(decision: impl std::fmt::Debug) -> String {
        format!("{decision:?}")
    }

    #[test]
    fn a_charge_is_taken_once_and_never_over_the_limit() {
        let over = Err(Declined::OverLimit { limit: LIMIT });
        let before = Err(Declined::AlreadyCharged { amount: Cents(7) });
        let billed = Err(Declined::OtherAmount { billed: Cents(7) });
        for (account, amount, expected) in [
            (Account::Open, 100, Ok(())),
            (Account::Open, 101, over.clone()),
            (Account::Billed(Cents(7)), 7, Ok(())),
            (Account::Billed(Cents(7)), 6, billed),
            (Account::Billed(Cents(101)), 101, over),
            (Account::Paid(Cents(7)), 7, Ok(())),
            (Account::Paid(Cents(7)), 8, before.clone()),
            (Account::Refunded(Cents(7)), 7, before),
            (Account::Void, 7, Err(Declined::Void)),
        ] {
            let collect = Collect { order: "o-1".into(), amount: Cents(amount) };
            let decided = account.collect(collect, LIMIT).map(drop);
            assert_eq!(decided, expected, "{account:?} {amount}");
        }
    }

    #[test]
    fn a_void_account_keeps_no_money_and_takes_none() {
        let void = || Void { order: "o-1".into() };
        let events = ALL.map(|account| {
            let decided = decided(account.void(void()));
            ["payments.voided", "payments.refunded", "facts: []"]
                .into_iter()
                .find(|what| decided.contains(what))
        });
        let (voided, refunded, nothing) = ("payments.voided", "payments.refunded", "facts: []");
        assert_eq!(
            events,
            [voided, voided, refunded, nothing, nothing].map(Some)
        );
    }

    #[test]
    fn a_bill_opens_nothing_that_was_closed() {
        let outcomes = ALL.map(|account| {
            let bill = Bill { order: "o-1".into(), amount: Cents(8) };
            account.bill(bill, LIMIT).map(drop)
        });
        let refused = [
            Ok(()),
            Err(Declined::OtherAmount { billed: Cents(7) }),
            Ok(()),
            Err(Declined::AlreadyCharged { amount: Cents(7) }),
            Err(Declined::Void),
        ];
        assert_eq!(outcomes, refused);
    }
}
