//! The carrier over a NATS server; the only folder that names `async_nats`.
//!
//! [`Options`] say where the server is; `Link` is one connection to it, which
//! is made again for as long as it lives. Streams append and read, consumers
//! pull and mend themselves. Whether a message is retried is not decided here,
//! only whether one attempt took place.

mod ack;
mod api;
mod append;
mod block;
mod consume;
mod core;
mod durable;
mod events;
mod frames;
mod headers;
mod identity;
mod link;
mod mend;
mod options;
mod place;
mod pull;
mod raw;
mod read;
mod release;
mod screen;
mod streams;
mod subjects;
mod subscription;
mod verdict;
mod wire;

pub use options::Options;

pub(super) use ack::Acker;
pub(super) use consume::Consumer;
pub(super) use link::Link;
pub(super) use read::Reader;
pub(super) use streams::Stream;
pub(super) use subscription::Subscription;
