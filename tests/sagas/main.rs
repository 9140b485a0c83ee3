//! What a saga promises: it ends, done or undone, whoever dies on the way.

mod again;
mod changes;
mod crashes;
#[cfg(feature = "nats")]
mod crashes_on_nats;
mod market;
#[cfg(feature = "nats")]
mod on_nats;
mod operator;
mod policies;
mod runners;
mod starting;
mod steps;
#[path = "../support/mod.rs"]
mod support;
mod timers;
#[cfg(feature = "nats")]
mod told;
mod waiting;
