//! The embedded bus in a directory: what it promises beyond the contract, which
//! `bus_contract` holds it to.

mod crash;
mod kit;
mod reopen;
#[path = "../support/mod.rs"]
mod support;
mod timers;
mod torn;
