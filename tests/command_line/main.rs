//! What the operator's command promises at the shell, against a server of its own.

#[path = "../support/mod.rs"]
mod support;

mod ask;
mod breakers;
mod connect;
mod entity;
mod jobs;
mod limits;
mod look;
mod mesh;
mod parked;
mod policies;
mod publish;
mod roster;
mod saga;
mod shell;
mod store;
mod streams;
mod tail;
mod tls;
