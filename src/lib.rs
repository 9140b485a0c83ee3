//! An event-driven actor runtime: supervised domains that talk in events.
//!
//! Each business domain is a [`Group`]: a supervised tree of actors. Groups
//! talk through [`Event`]s (facts, kept in streams, heard at least once) and
//! [`Command`]s (requests with one reply and one deadline), both MessagePack
//! under subjects of a [`Bus`]. The bus is this process or a NATS server; the
//! groups do not know which.
//!
//! An [`Actor`] is a plain struct and a table of its `async fn`s. No handler
//! trait, no macro: what is not in the table is never called, and the compiler
//! says so.
//!
//! # Examples
//!
//! ```
//! use callboard::{Actor, Answer, Bus, Command, Context, Group, Infallible, Node, Subject};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize)]
//! struct Greet {
//!     name: String,
//! }
//!
//! impl Command for Greet {
//!     const SUBJECT: Subject = Subject::new("porter.greet");
//!     type Outcome = Result<String, Infallible>;
//! }
//!
//! struct Porter {
//!     guests: u32,
//! }
//!
//! impl Porter {
//!     async fn greet(&mut self, greet: Greet, _: &Context) -> Answer<Greet> {
//!         self.guests += 1;
//!         Ok(format!("welcome, {}, you are number {}", greet.name, self.guests))
//!     }
//! }
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! let porter = Actor::new("porter", async || Ok(Porter { guests: 0 })).answer(Porter::greet);
//! let node = Node::new("house-1", Bus::embedded())
//!     .group(Group::new("porter").child(porter))
//!     .start()
//!     .await?;
//! let welcome = node.client().call(Greet { name: "Ada".into() }).await?;
//! assert_eq!(welcome, "welcome, Ada, you are number 1");
//! node.stop().await?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The programs in `examples/` go on from here, in reading order.
//!
//! # Architecture
//!
//! The rooms of this crate stand on floors, and look down only; a test walks
//! their imports.
//!
//! ```text
//! 9  cli           the operator's command
//! 8  replay        groups under test, on a paused clock
//! 7  node          threads, start, intake, drain, stop
//! 6  entity, projection  state from events: per key, and as read models
//!    saga          steps that end: done, or undone
//!    breaker       breakers in the tree: told, heard, obeying
//!    limit         the limits of a node: told
//!    mesh          who is there: heartbeats, health, NATS's service protocol
//! 5  supervision   groups: who is restarted with whom, when, how often
//! 4  actor         one actor: its table, its cell, its reactions, its jobs
//! 3  call          one request, one reply, one deadline; publishing, jobs
//! 2  bus           send, ask, append, read, consume; embedded and NATS
//!    policy        how a target is called that may be slow, broken or overrun
//!    route         which instance a command goes to
//! 1  message       what is said: types, headers, bytes, subjects
//!    roster        what is known of who is there, read without waiting
//! 0  error, span, telemetry, time, version
//! ```
//!
//! **A message's way in.** A [`Node`] listens for the commands of its groups'
//! domains and reads the streams of the domains they hear. A command goes to
//! the mailbox of its actor, which is bounded: what does not fit is answered
//! with 503. Events are read by partition, in order per key and side by side
//! across keys, and acknowledged when they are handled, stored as dead letters,
//! or wait behind one that cannot be handled: then the key is parked. Jobs,
//! commands that wait in a stream for their time or for a node, are read alike.
//!
//! **A turn.** The cell of an actor, hosted on actix, takes the state out,
//! runs one handler to its end, and puts the state back; the mailbox waits. A
//! panic ends the turn: the caller gets an error, the state is dropped, and the
//! supervisor is told.
//!
//! **Two kinds of trouble.** `Err` is about the message: a [`Rejection`] is the
//! domain's answer, a [`Failure`] says whether to try again. A panic is about
//! the actor: it is rebuilt in place, and what waits in its mailbox stays.
//! Restarts are decided by a pure machine as in Erlang's OTP ([`Strategy`],
//! [`Restart`], [`Group::intensity`], [`Backoff`]), and carried out by the group.
//!
//! **A message's way out.** A handler's [`Context`] publishes, calls, and sends
//! jobs. What follows from a message carries its correlation, names it as its
//! cause, and has an id derived from it, so that streams keep one of each when it
//! is handled twice. A command whose group lives in the same process skips bus and
//! codec; all else is the same.
//!
//! **What survives.** [`Bus::embedded`] keeps streams in memory,
//! [`Bus::embedded_at`] in a directory, where every commit is synced unless said
//! otherwise. On NATS an event is published once the server has it; when that
//! reaches the disk is the server's setting. An actor's state is what its factory
//! builds, an [`Entity`]'s what its events say. A [`Projection`]'s model is built
//! again from the streams, or goes on from where it was written down.
//!
//! # Features
//!
//! - `nats` (default): the carrier for NATS servers from 2.12.6 on, `Bus::nats`.
//! - `cli` (default): the command `callboard`; embedders leave it out.
//! - `test-util`: `Replay`, for tests.

pub mod actor;
pub mod breaker;
pub mod bus;
pub mod call;
#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod cli;
pub mod entity;
pub mod error;
pub mod limit;
pub mod mesh;
pub mod message;
pub mod node;
pub mod policy;
pub mod projection;
#[cfg(feature = "test-util")]
pub mod replay;
pub mod roster;
pub mod route;
pub mod saga;
mod span;
pub mod supervision;
pub mod telemetry;
pub mod time;
mod version;

pub use actor::{Actor, Context, Restart, Retry};
pub use bus::Bus;
pub use call::{Answer, Call, CallError, Client, JobError, PublishError, Refusal, TellError};
pub use entity::{Decision, Entity};
pub use error::{Failure, Verdict};
pub use message::{Command, Event, Infallible, Rejection, Subject};
pub use node::{Node, NodeError, Profile, Running, shutdown_signal};
pub use projection::Projection;
#[cfg(feature = "test-util")]
pub use replay::{Heard, Replay, ReplayError};
pub use roster::{Query, Roster};
pub use route::RouteTable;
pub use saga::{Abort, Saga, Steps};
pub use supervision::{Backoff, Child, Group, GroupError, Strategy};
