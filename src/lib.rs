//! An event-driven actor runtime: supervised domains that talk in events.

pub mod bus;
pub mod error;
pub mod message;
pub mod supervision;
pub mod telemetry;
pub mod time;

pub use error::{Failure, Verdict};
pub use message::{Command, Event, Infallible, Rejection, Subject};
