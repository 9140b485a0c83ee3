//! Nodes that die, fail, are slow or say nothing while they are called: what it costs
//! their callers, counted.
//!
//! The tests print what they count; to see it:
//! `cargo test -p callboard --test faults -- --nocapture`.
#![cfg(feature = "nats")]

#[path = "../support/mod.rs"]
mod support;

mod crowd;
mod held;
mod killed;
mod porter;
mod sick;
mod watcher;

/// They count and compare, so they do not run side by side.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
