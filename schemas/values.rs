use crate::ProductId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{fmt, iter::Sum};

/// An amount of money in hundredths; the shop has one currency.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
)]
#[serde(transparent)]
pub struct Cents(pub u64);

impl Cents {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// Returns the price of a quantity; more than can be told is the largest amount.
    #[must_use]
    pub const fn times(self, quantity: u32) -> Self {
        Self(self.0.saturating_mul(quantity as u64))
    }
}

/// Adds up; more than can be told is the largest amount.
impl Sum for Cents {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::ZERO, |sum, amount| {
            Self(sum.0.saturating_add(amount.0))
        })
    }
}

/// Writes `25.00`.
impl fmt::Display for Cents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:02}", self.0 / 100, self.0 % 100)
    }
}

/// So many of one product.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Line {
    /// The product.
    pub product: ProductId,
    /// How many of it.
    pub quantity: u32,
}

impl Line {
    /// Returns a line.
    pub fn new(product: impl Into<ProductId>, quantity: u32) -> Self {
        Self { product: product.into(), quantity }
    }
}

#[cfg(test)]
mod tests {
    use super::Cents;

    #[test]
    fn amounts_read_as_money() {
        assert_eq!(Cents(2_500).to_string(), "25.00");
        assert_eq!(Cents(7).to_string(), "0.07");
    }

    #[test]
    fn amounts_add_up_and_never_wrap() {
        assert_eq!(Cents(250).times(3), Cents(750));
        assert_eq!([Cents(1), Cents(2)].into_iter().sum::<Cents>(), Cents(3));
        assert_eq!(Cents(u64::MAX).times(2), Cents(u64::MAX));
        assert_eq!(
            [Cents(u64::MAX), Cents(1)].into_iter().sum::<Cents>(),
            Cents(u64::MAX)
        );
    }
}
