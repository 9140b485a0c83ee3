//! The breaker: a pure machine, and the gate that callers pass it by.

mod gate;
mod limits;
mod machine;
mod state;

pub(crate) use gate::Gate;
pub use gate::{Permit, Refused};
pub use limits::{Advice, Limits, Scope};
#[cfg(test)]
pub(super) use machine::{Entry, Machine};
pub use state::{Change, Counts, Force, Outcome, State};
