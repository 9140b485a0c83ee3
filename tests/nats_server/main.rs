//! What surrounds a node on a NATS server: who listens, what is permitted, and a
//! server that is not the one that was lost.

#![cfg(feature = "nats")]

#[path = "../support/mod.rs"]
mod support;

mod house;
mod listeners;
mod permitted;
mod provisioned;
mod replaced;
