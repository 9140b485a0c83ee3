//! The embedded bus in a directory: what it promises beyond the contract, which
//! `bus_contract` holds it to.

mod again;
mod crash;
mod faults;
mod kills;
mod kit;
mod old;
mod reopen;
mod space;
#[path = "../support/mod.rs"]
mod support;
mod timers;
