//! The shop's contract: what its domains say to each other.
//!
//! One module per domain holds that domain's events (past tense), commands
//! (imperative), replies and rejections. [`Cents`], [`Line`] and the ids are
//! shared. The types carry no behaviour: who decides what is the domains'
//! own business.
//!
//! `orders` has an order's steps done by command, and undone if one of them
//! comes to nothing; what follows from its end is told by events:
//!
//! ```text
//! card     inventory.reserve, payments.charge -> orders.confirmed | orders.cancelled
//! invoice  payments.bill, inventory.reserve, then fraud.cleared and payments.taken
//!            are waited for -> orders.confirmed | orders.cancelled
//! ```
//!
//! The wire is MessagePack with field names; variants are written `like_this`.
//! `golden/` holds the bytes of one sample per type, `json/` the JSON Schemas.
//! Both are written by `CALLBOARD_BLESS=1 cargo test -p schemas`, and a test
//! fails when they part from the types.

pub mod fraud;
mod ids;
pub mod inventory;
pub mod notifications;
pub mod orders;
pub mod payments;
pub mod products;
pub mod users;
mod values;

pub use ids::{EventId, OrderId, ProductId, UserId};
pub use values::{Cents, Line};

/// The most entries in the reply of a command that lists things.
///
/// A payload has a largest size, so a list has a longest length.
pub const LIST_LIMIT: usize = 100;
