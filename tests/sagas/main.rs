//! What a saga promises: it ends, done or undone, whoever dies on the way.

mod again;
#[cfg(feature = "nats")]
mod alarms_on_nats;
mod branches;
mod called_off;
mod changes;
mod crashes;
#[cfg(feature = "nats")]
mod crashes_on_nats;
mod declared;
mod endless;
mod market;
#[cfg(feature = "nats")]
mod on_nats;
mod operator;
mod policies;
mod runners;
mod settling;
mod starting;
mod steps;
#[path = "../support/mod.rs"]
mod support;
mod timers;
#[cfg(feature = "nats")]
mod told;
mod waiting;
