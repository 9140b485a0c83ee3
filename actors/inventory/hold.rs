#![expect(
    clippy::unnecessary_wraps,
    reason = "the signature of a decision is fixed; not every one says no"
)]

use super::commands::{Request, Sell, Settle};
use callboard::{Decision, Infallible};
use schemas::{
    Line,
    inventory::{
        OutOfStock, Release, Released, StockRefused, StockReleased, StockRequested, StockReserved,
        StockSold,
    },
};
use serde::{Deserialize, Serialize};

/// An order's claim on stock, once there is one.
#[derive(Clone, Debug, Default)]
pub(super) struct Holding(Option<Claim>);

/// What is wanted for an order, and how far that is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Claim {
    pub(super) lines: Vec<Line>,
    pub(super) stage: Stage,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Stage {
    /// Products are being put aside.
    #[default]
    Wanted,
    /// All of them are.
    Held,
    /// There were too few.
    Refused(OutOfStock),
    /// They go back on sale.
    Released,
    /// They leave the house.
    Sold,
}

impl Holding {
    pub(super) fn request(&self, request: Request) -> Result<Decision<Claim>, Infallible> {
        if let Some(claim) = &self.0 {
            return Ok(Decision::nothing().reply(claim.clone()));
        }
        let Request { order, lines } = request;
        let claim = Claim { lines: lines.clone(), stage: Stage::Wanted };
        Ok((StockRequested { order, lines }, claim).into())
    }

    pub(super) fn settle(&self, settle: Settle) -> Result<Decision<Claim>, Infallible> {
        let Settle { order, short } = settle;
        let mut claim = self.0.clone().unwrap_or_default();
        if claim.stage != Stage::Wanted {
            return Ok(Decision::nothing().reply(claim));
        }
        if let Some(reason) = short {
            claim.stage = Stage::Refused(reason.clone());
            return Ok((StockRefused { order, reason }, claim).into());
        }
        claim.stage = Stage::Held;
        let lines = claim.lines.clone();
        Ok((StockReserved { order, lines }, claim).into())
    }

    /// Gives back what is held. What was never wanted is given back, too: who asks
    /// for it later comes too late.
    pub(super) fn release(&self, release: Release) -> Result<Decision<Released>, Infallible> {
        let order = release.order;
        let lines = match &self.0 {
            Some(Claim { lines, stage: Stage::Held, .. }) => lines.clone(),
            // What is put aside is put back by whoever is at it.
            None | Some(Claim { stage: Stage::Wanted, .. }) => Vec::new(),
            Some(_) => return Ok(Decision::nothing().reply(Released { order, lines: Vec::new() })),
        };
        let released = Released { order: order.clone(), lines: lines.clone() };
        Ok((StockReleased { order, lines }, released).into())
    }

    pub(super) fn sell(&self, Sell { order }: Sell) -> Result<Decision<()>, Infallible> {
        let Some(Claim { lines, stage: Stage::Held, .. }) = &self.0 else {
            return Ok(Decision::nothing());
        };
        Ok(StockSold { order, lines: lines.clone() }.into())
    }

    pub(super) fn requested(&mut self, requested: &StockRequested) {
        let lines = requested.lines.clone();
        self.0 = Some(Claim { lines, stage: Stage::Wanted });
    }

    pub(super) fn reserved(&mut self, reserved: &StockReserved) {
        let lines = reserved.lines.clone();
        self.0 = Some(Claim { lines, stage: Stage::Held });
    }

    pub(super) fn refused(&mut self, refused: &StockRefused) {
        self.now(Stage::Refused(refused.reason.clone()));
    }

    pub(super) fn released(&mut self, _: &StockReleased) {
        self.now(Stage::Released);
    }

    pub(super) fn sold(&mut self, _: &StockSold) {
        self.now(Stage::Sold);
    }

    fn now(&mut self, stage: Stage) {
        self.0.get_or_insert_default().stage = stage;
    }
}
