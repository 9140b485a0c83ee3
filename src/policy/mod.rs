//! Policies: how a target is called that may be slow, broken or overrun.
pub(crate) mod sync {
    pub(crate) use std::sync::{
        Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    };
}
mod breaker;
mod ring;
mod span;
pub use breaker::{Advice, Change, Counts, Force, Limits, Outcome, State};
