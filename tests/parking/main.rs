//! What a reaction promises when an event cannot be handled: its key waits in
//! order, others flow, and the operator decides.

#[path = "../support/mod.rs"]
mod support;

mod batch;
mod farm;
mod keys;
mod letters;
mod operator;
mod takeover;
mod versions;
