//! What a reaction promises when an event cannot be handled: its key waits in
//! order, others flow, and the operator decides.

#[path = "../support/mod.rs"]
mod support;

mod batch;
mod beside;
mod claims;
mod crowded;
mod farm;
mod foreign;
mod keys;
mod letters;
mod once;
mod operator;
mod reasons;
mod takeover;
mod versions;
