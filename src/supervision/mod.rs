//! The tree: groups, their children, and who is restarted when one ends.
//!
//! The nouns are OTP's: a [`Group`] supervises [`Child`]ren, a [`Strategy`]
//! says whom a restart reaches, a [`Restart`](crate::Restart) whether a child
//! comes back at all, an intensity how many restarts are too many, and a
//! [`Backoff`] how long they wait. One machine per group decides, as pure
//! functions of the past and the time; one supervisor per group does it.
//!
//! This room does not look at messages; what becomes of one whose handler
//! failed is its [`Verdict`](crate::Verdict)'s business.

mod about;
mod backoff;
mod child;
mod errands;
mod group;
mod intensity;
mod machine;
#[cfg(test)]
mod machine_model;
#[cfg(test)]
mod machine_table;
mod member;
mod needs;
mod plant;
mod root;
mod strategy;
mod supervisor;
mod tree;

pub(crate) use about::{About, Check, Says};
pub use backoff::Backoff;
pub use child::Child;
pub use group::{Group, GroupError};
pub(crate) use intensity::Intensity;
pub(crate) use member::Member;
pub(crate) use needs::Needs;
pub(crate) use plant::{Soil, plant};
pub(crate) use root::{Root, root};
pub use strategy::Strategy;
pub(crate) use tree::Live;
pub use tree::{Branch, State, Tree};
