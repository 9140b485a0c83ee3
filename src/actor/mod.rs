//! One actor: its description, its handlers, and the cell that hosts it.
//!
//! An [`Actor`] is a table of handlers over a plain struct. Each handler gets a
//! [`Context`]: what is known of the message at hand, and the way to everyone
//! else. Events reach an actor through its reactions, in order per key;
//! jobs reach it in the same way, through its group.
//!
//! This room does not decide who restarts: a crashed cell reports and waits.

mod blueprint;
mod bounds;
mod cell;
mod context;
mod dead;
mod failover;
mod host;
mod inbox;
mod job;
mod job_reader;
mod job_takeover;
mod job_turns;
mod lanes;
mod meter;
mod pattern;
mod poke;
mod reaction;
mod repeated;
mod repetition;
mod restart;
mod retry;
mod route;
mod spec;
mod taken;
mod tried;

pub(crate) use blueprint::{Answered, Begins, Blueprint, Repeated, Review, SagaNeeds};
pub(crate) use bounds::guarded;
pub(crate) use cell::{Hosted, Seat};
pub use context::Context;
pub(crate) use dead::Letter;
pub(crate) use host::{Birth, Control, Report};
pub(crate) use inbox::{Inbox, instance};
pub(crate) use job::{JobRoute, Jobs, Worker};
pub(crate) use job_reader::reads_jobs;
pub(crate) use poke::Poke;
pub(crate) use reaction::{Reaction, reads};
pub(crate) use repetition::Repetition;
pub(crate) use restart::Exit;
pub use restart::Restart;
pub use retry::Retry;
pub use spec::Actor;
pub(crate) use taken::{Heard, Taken};
