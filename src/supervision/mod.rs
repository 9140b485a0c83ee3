//! Supervision: who is restarted when a child ends, when, and who gives up.
//!
//! The nouns are OTP's: a [`Strategy`] says whom a restart reaches, a
//! [`Restart`] whether a child comes back at all, an intensity how many
//! restarts are too many, and a [`Backoff`] how long they wait. One machine
//! per group puts them together and decides.
//!
//! What is decided here is pure: the time and the jitter are passed in. This
//! room does not look at messages; what becomes of one whose handler failed is
//! its [`Verdict`](crate::error::Verdict)'s business.

mod backoff;
mod intensity;
#[cfg_attr(
    not(test),
    expect(dead_code, reason = "the groups that ask it come next")
)]
mod machine;
#[cfg(test)]
mod machine_model;
#[cfg(test)]
mod machine_table;
mod restart;
mod strategy;

pub use backoff::Backoff;
pub(crate) use intensity::Intensity;
pub(crate) use restart::Exit;
pub use restart::Restart;
pub use strategy::Strategy;
