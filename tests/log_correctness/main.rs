//! What the log promises while everything goes wrong at once.

#[cfg(feature = "nats")]
mod cluster;
#[cfg(feature = "nats")]
mod lost_acks;
mod poison;
#[cfg(feature = "nats")]
mod proxy;
mod races;
#[cfg(feature = "nats")]
mod readers;
mod repeats;
#[path = "../support/mod.rs"]
mod support;
#[cfg(feature = "nats")]
mod takeovers;
#[cfg(feature = "nats")]
mod walks;

type Verdict = Result<(), Box<dyn std::error::Error>>;
