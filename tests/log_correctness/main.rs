//! What the log promises while everything goes wrong at once.

#[cfg(feature = "nats")]
mod cluster;
#[cfg(feature = "nats")]
mod lost_acks;
#[cfg(feature = "nats")]
mod proxy;
mod races;
mod repeats;
#[path = "../support/mod.rs"]
mod support;

type Verdict = Result<(), Box<dyn std::error::Error>>;
