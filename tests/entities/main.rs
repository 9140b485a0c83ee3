//! What an entity promises: its events are the truth, and they are decided once.

mod bank;
mod decisions;
mod loading;
#[cfg(feature = "nats")]
mod on_nats;
mod outside;
mod snapshots;
#[path = "../support/mod.rs"]
mod support;
mod versions;
