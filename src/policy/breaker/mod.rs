//! The breaker: a pure machine, and the gate that callers pass it by.

mod gate;
mod limits;
mod machine;
mod state;

#[cfg(test)]
mod model;

pub(crate) use gate::{Gate, Refused};
pub use limits::{Advice, Limits};
pub use state::{Change, Counts, Force, Outcome, State};
