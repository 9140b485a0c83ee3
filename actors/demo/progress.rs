/// What happened to an order that it waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Settled {
    /// It was confirmed or cancelled; stock may have to be given back.
    Ended { gives_back: bool },
    /// Its stock was given back.
    Released,
    /// The customer knows.
    Told,
}

/// How far an order has come. Domains do not wait for each other, so it hears
/// of the end and of what follows in any order.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Progress {
    /// Nothing until it ended; then whether stock has to be given back.
    gives_back: Option<bool>,
    released: bool,
    told: bool,
}

impl Progress {
    pub(super) const fn settle(&mut self, what: Settled) {
        match what {
            Settled::Ended { gives_back } => self.gives_back = Some(gives_back),
            Settled::Released => self.released = true,
            Settled::Told => self.told = true,
        }
    }

    /// Whether nothing more is to come.
    pub(super) const fn is_over(self) -> bool {
        let stock_is_settled = match self.gives_back {
            None => false,
            Some(gives_back) => self.released || !gives_back,
        };
        stock_is_settled && self.told
    }
}

#[cfg(test)]
mod tests {
    use super::{Progress, Settled};

    #[test]
    fn a_declined_order_is_over_when_its_stock_is_back_and_its_customer_knows() {
        let ended = Settled::Ended { gives_back: true };
        for order in [
            [ended, Settled::Released, Settled::Told],
            [Settled::Released, ended, Settled::Told],
            [ended, Settled::Told, Settled::Released],
        ] {
            let mut progress = Progress::default();
            for settled in order {
                assert!(!progress.is_over(), "{order:?}");
                progress.settle(settled);
            }
            assert!(progress.is_over(), "{order:?}");
        }
    }

    #[test]
    fn another_order_has_nothing_to_give_back() {
        let mut progress = Progress::default();
        progress.settle(Settled::Told);
        progress.settle(Settled::Ended { gives_back: false });
        assert!(progress.is_over());
    }
}
