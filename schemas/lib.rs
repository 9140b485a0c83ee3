//! The shop's contract: what its domains say to each other.
//!
//! One module per domain holds that domain's events (past tense), commands
//! (imperative), replies and rejections. [`Cents`], [`Line`] and the ids are
//! shared. The types carry no behaviour: who decides what is the domains'
//! own business.
//!
//! An order is worked on by events alone, so each of them carries what the
//! next domain needs:
//!
//! ```text
//! orders.placed -> inventory.requested
//!   -> inventory.reserved -> payments.taken    -> orders.confirmed -> inventory.sold
//!   |                     `> payments.declined -> orders.cancelled
//!   |                                          `> inventory.released
//!   `> inventory.refused  -> orders.cancelled
//! ```
//!
//! The wire is MessagePack with field names; variants are written `like_this`.
//! `golden/` holds the bytes of one sample per type, `json/` the JSON Schemas.
//! Both are written by `CALLBOARD_BLESS=1 cargo test -p schemas`, and a test
//! fails when they part from the types.

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
