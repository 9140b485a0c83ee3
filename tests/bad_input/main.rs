//! What bad input does: the sender or the operator learns the subject, the
//! reason and the cure; the messages behind it are handled; the process lives.

#[path = "../support/mod.rs"]
mod support;

mod commands;
mod events;
mod kept;
mod store;
mod unreadable;
