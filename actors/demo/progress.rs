/// What happened to an order that it waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Settled {
    /// It was confirmed or cancelled.
    Ended,
    /// One of its products left the house, or is for sale again.
    Moved,
    /// The customer knows.
    Told,
}

/// How far an order has come. Domains do not wait for each other, so it hears
/// of the end and of what follows in any order.
#[derive(Clone, Copy, Debug)]
pub(super) struct Progress {
    ended: bool,
    /// How many products have still to go either way.
    products: usize,
    told: bool,
}

impl Progress {
    /// An order of so many products.
    pub(super) const fn of(products: usize) -> Self {
        Self { ended: false, products, told: false }
    }

    pub(super) const fn settle(&mut self, what: Settled) {
        match what {
            Settled::Ended => self.ended = true,
            Settled::Moved => self.products = self.products.saturating_sub(1),
            Settled::Told => self.told = true,
        }
    }

    /// Whether nothing more is to come.
    pub(super) const fn is_over(self) -> bool {
        self.ended && self.told && self.products == 0
    }
}

#[cfg(test)]
mod tests {
    use super::{Progress, Settled};

    #[test]
    fn an_order_is_over_when_its_products_are_gone_and_its_customer_knows() {
        for order in [
            [
                Settled::Ended,
                Settled::Moved,
                Settled::Moved,
                Settled::Told,
            ],
            [
                Settled::Moved,
                Settled::Moved,
                Settled::Ended,
                Settled::Told,
            ],
            [
                Settled::Ended,
                Settled::Told,
                Settled::Moved,
                Settled::Moved,
            ],
        ] {
            let mut progress = Progress::of(2);
            for settled in order {
                assert!(!progress.is_over(), "{order:?}");
                progress.settle(settled);
            }
            assert!(progress.is_over(), "{order:?}");
        }
    }
}
