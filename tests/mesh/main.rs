//! Nodes know one another: who is there, how they are, and who has gone.
#![cfg(feature = "nats")]

#[path = "../support/mod.rs"]
mod support;

mod cluster;
mod forged;
mod health;
mod many;
mod outage;
mod parted;
mod presence;
mod rolling;
mod routes;
mod services;
mod tables;
mod undo;
mod yard;
