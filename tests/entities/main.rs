//! What an entity promises: its events are the truth, and they are decided once.

mod bank;
mod deadlines;
mod decisions;
mod ids;
mod large;
mod loading;
mod logged;
mod lost_tail;
#[cfg(feature = "nats")]
mod on_nats;
mod outside;
mod skips;
mod snapshots;
#[path = "../support/mod.rs"]
mod support;
mod versions;
