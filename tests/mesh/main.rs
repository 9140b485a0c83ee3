//! Nodes know one another: who is there, how they are, and who has gone.
#![cfg(feature = "nats")]

#[path = "../support/mod.rs"]
mod support;

#[path = "../support/cable.rs"]
mod cable;

mod health;
mod many;
mod outage;
mod presence;
mod rolling;
mod routes;
mod services;
mod yard;
