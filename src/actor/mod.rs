//! One actor: its description, its handlers, and the cell that hosts it.
//!
//! An [`Actor`] is a table of handlers over a plain struct. Each handler gets a
//! [`Context`]: what is known of the message at hand, and the way to everyone
//! else. Events reach an actor through its reactions, in order per key.
//!
//! This room does not decide who restarts: a crashed cell reports and waits.

mod bounds;
mod cell;
mod context;
mod dead;
mod host;
mod inbox;
mod lanes;
mod meter;
mod poke;
mod reaction;
mod restart;
mod retry;
mod route;
mod spec;
mod taken;

pub(crate) use bounds::guarded;
pub(crate) use cell::{Hosted, Seat};
pub use context::Context;
pub(crate) use host::{Birth, Control, Report};
pub(crate) use inbox::{Inbox, instance};
pub(crate) use poke::Poke;
pub(crate) use reaction::Reaction;
pub(crate) use restart::Exit;
pub use restart::Restart;
pub use retry::Retry;
pub use spec::Actor;
pub(crate) use spec::{Answered, Blueprint};
pub(crate) use taken::Taken;
