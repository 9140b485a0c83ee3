use crate::log::Life;
use schemas::{
    Cents,
    payments::{Declined, PaymentDeclined, PaymentRefunded, PaymentTaken},
};

/// Where an order's payment stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Account {
    /// Nobody asked for anything yet.
    Open,
    /// It was declined once.
    Declined,
    /// It is paid.
    Paid(Cents),
    /// It was paid and given back.
    Refunded(Cents),
}

/// What a charge comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Charging {
    /// The money is to be taken.
    Take,
    /// This very charge was made before.
    AlreadyTaken,
}

impl Account {
    pub(super) fn of(life: &Life) -> Self {
        if let Some(PaymentRefunded { amount, .. }) = life.find() {
            return Self::Refunded(amount);
        }
        if let Some(PaymentTaken { amount, .. }) = life.find() {
            return Self::Paid(amount);
        }
        match life.find::<PaymentDeclined>() {
            Some(_) => Self::Declined,
            None => Self::Open,
        }
    }

    /// Decides on a charge.
    pub(super) fn charge(self, amount: Cents, limit: Cents) -> Result<Charging, Declined> {
        match self {
            Self::Paid(before) if before == amount => Ok(Charging::AlreadyTaken),
            Self::Paid(amount) | Self::Refunded(amount) => Err(Declined::AlreadyCharged { amount }),
            Self::Open | Self::Declined if amount > limit => Err(Declined::OverLimit { limit }),
            Self::Open | Self::Declined => Ok(Charging::Take),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Account, Charging};
    use schemas::{Cents, payments::Declined};

    const LIMIT: Cents = Cents(100);

    #[test]
    fn a_charge_is_taken_once_and_never_over_the_limit() {
        let over = Err(Declined::OverLimit { limit: LIMIT });
        let before = Err(Declined::AlreadyCharged { amount: Cents(7) });
        for (account, amount, expected) in [
            (Account::Open, 100, Ok(Charging::Take)),
            (Account::Open, 101, over.clone()),
            (Account::Declined, 100, Ok(Charging::Take)),
            (Account::Declined, 101, over),
            (Account::Paid(Cents(7)), 7, Ok(Charging::AlreadyTaken)),
            (Account::Paid(Cents(7)), 8, before.clone()),
            (Account::Refunded(Cents(7)), 7, before),
        ] {
            let decided = account.charge(Cents(amount), LIMIT);
            assert_eq!(decided, expected, "{account:?} {amount}");
        }
    }
}
