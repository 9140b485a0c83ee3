//! Policies: how a target is called that may be slow, broken or overrun.
//!
//! A [`Policy`] is data: a deadline, retries with a budget, a rate limit, a
//! bulkhead, a breaker, a cache, a fallback. [`Policies`] is the table that says
//! which target has which; `Node::policies` gives it to
//! all callers of a node. A [`Breaker`] also stands by itself, around any future.
//!
//! ```
//! use callboard::{Bus, Node, policy::Policies};
//!
//! let policies = Policies::from_toml(
//!     r#"
//!     [domains.payments]
//!     deadline = "3s"
//!     try_within = "1s"
//!     retry = {}                       # 3 attempts, and at most 1.2 for each call
//!     breaker = { failures = 5, within = "10s", open = "60s" }
//!     bulkhead = { in_flight = 100, queue = 100, wait = "1s" }
//!     "#,
//! )?;
//! let node = Node::new("shop-1", Bus::embedded()).policies(policies);
//! # drop(node);
//! # Ok::<(), callboard::policy::PoliciesError>(())
//! ```
//!
//! What decides is pure, with the time passed in; this room sends nothing, and
//! knows of calls only what their callers say.
//!
//! Calls are counted here, and not by a crate for limits such as `governor`:
//! those read a clock of their own, so that a test on paused time would wait, and
//! do not bound the keys that they remember.

mod breaker;
mod budget;
mod bulkhead;
mod cache;
mod data;
mod error;
mod fallback;
mod handle;
mod limiter;
mod line;
mod news;
mod rate;
mod retry;
mod ring;
mod standing;
mod table;

#[cfg(test)]
mod model;

/// What breakers are built of; tests build them of another.
mod sync {
    pub(super) use std::sync::{
        Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    };
}

use crate::span;

pub use crate::version::VersionError;
pub use breaker::{Advice, Change, Counts, Force, Limits, Outcome, Permit, Refused, Scope, State};
pub use budget::Budget;
pub use bulkhead::Bulkhead;
pub use cache::Cache;
pub(crate) use cache::{Asked, Era};
pub use data::Policy;
pub use error::PoliciesError;
pub use fallback::{Fallback, Grade, Graded, Serve};
pub(crate) use handle::again;
pub use handle::{Breaker, Broken, Report};
pub(crate) use line::{Line, renewed};
pub(crate) use news::{Changes, Heard, changes};
pub use rate::{By, Kind, Rate};
pub use retry::Retry;
pub use standing::{Counted, Limited, Standing};
pub use table::Policies;
