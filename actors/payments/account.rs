#![expect(
    clippy::unnecessary_wraps,
    reason = "the signature of a decision is fixed; not every one says no"
)]

use super::collect::Collect;
use callboard::{Decision, Infallible};
use schemas::{
    Cents,
    payments::{
        Charge, Declined, NotCharged, PaymentDeclined, PaymentRefunded, PaymentTaken, Receipt,
        Refund, Refunded,
    },
};

/// Where an order's payment stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Account {
    /// Nobody asked for anything yet.
    #[default]
    Open,
    /// It was declined once.
    Declined,
    /// It is paid.
    Paid(Cents),
    /// It was paid and given back.
    Refunded(Cents),
}

impl Account {
    pub(super) fn charge(
        &self,
        charge: Charge,
        limit: Cents,
    ) -> Result<Decision<Receipt>, Declined> {
        let Charge { order, amount } = charge;
        let receipt = Receipt { order: order.clone(), amount };
        match *self {
            Self::Paid(before) if before == amount => Ok(Decision::nothing().reply(receipt)),
            Self::Paid(amount) | Self::Refunded(amount) => Err(Declined::AlreadyCharged { amount }),
            Self::Open | Self::Declined if amount > limit => Err(Declined::OverLimit { limit }),
            Self::Open | Self::Declined => Ok((PaymentTaken { order, amount }, receipt).into()),
        }
    }

    pub(super) fn collect(
        &self,
        collect: Collect,
        limit: Cents,
    ) -> Result<Decision<()>, Infallible> {
        let Collect { order, amount } = collect;
        if *self != Self::Open {
            return Ok(Decision::nothing());
        }
        if amount > limit {
            let reason = Declined::OverLimit { limit };
            return Ok(PaymentDeclined { order, amount, reason }.into());
        }
        Ok(PaymentTaken { order, amount }.into())
    }

    pub(super) fn refund(&self, refund: Refund) -> Result<Decision<Refunded>, NotCharged> {
        let order = refund.order;
        match *self {
            Self::Open | Self::Declined => Err(NotCharged { order }),
            Self::Refunded(amount) => Ok(Decision::nothing().reply(Refunded { order, amount })),
            Self::Paid(amount) => {
                let refunded = Refunded { order: order.clone(), amount };
                Ok((PaymentRefunded { order, amount }, refunded).into())
            }
        }
    }

    pub(super) const fn taken(&mut self, taken: &PaymentTaken) {
        *self = Self::Paid(taken.amount);
    }

    pub(super) const fn declined(&mut self, _: &PaymentDeclined) {
        *self = Self::Declined;
    }

    pub(super) const fn refunded(&mut self, refunded: &PaymentRefunded) {
        *self = Self::Refunded(refunded.amount);
    }
}

#[cfg(test)]
mod tests {
    use super::Account;
    use schemas::{
        Cents,
        payments::{Charge, Declined},
    };

    const LIMIT: Cents = Cents(100);

    #[test]
    fn a_charge_is_taken_once_and_never_over_the_limit() {
        let over = Err(Declined::OverLimit { limit: LIMIT });
        let before = Err(Declined::AlreadyCharged { amount: Cents(7) });
        for (account, amount, expected) in [
            (Account::Open, 100, Ok(())),
            (Account::Open, 101, over.clone()),
            (Account::Declined, 100, Ok(())),
            (Account::Declined, 101, over),
            (Account::Paid(Cents(7)), 7, Ok(())),
            (Account::Paid(Cents(7)), 8, before.clone()),
            (Account::Refunded(Cents(7)), 7, before),
        ] {
            let charge = Charge { order: "o-1".into(), amount: Cents(amount) };
            let decided = account.charge(charge, LIMIT).map(drop);
            assert_eq!(decided, expected, "{account:?} {amount}");
        }
    }
}
