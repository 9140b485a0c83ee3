//! An event-driven actor runtime: supervised domains that talk in events.

pub mod actor;
pub mod bus;
pub mod call;
#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod cli;
pub mod entity;
pub mod error;
pub mod message;
pub mod node;
#[cfg(feature = "test-util")]
pub mod replay;
pub mod supervision;
pub mod telemetry;
pub mod time;

pub use actor::{Actor, Context, Restart, Retry};
pub use bus::Bus;
pub use call::{Answer, Call, CallError, Client, PublishError, Refusal, TellError};
pub use entity::{Decision, Entity};
pub use error::{Failure, Verdict};
pub use message::{Command, Event, Infallible, Rejection, Subject};
pub use node::{Node, NodeError, Running, shutdown_signal};
#[cfg(feature = "test-util")]
pub use replay::{Heard, Replay, ReplayError};
pub use supervision::{Backoff, Child, Group, GroupError, Strategy};
