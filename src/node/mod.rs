//! The node: groups on threads, their lifecycle, and what they are fed.
//!
//! A [`Node`] is a description; started, it is [`Running`]. It checks the bus,
//! plants the groups, starts them from left to right, and then lets commands
//! and events in. Stopping is the same in reverse.
//!
//! This room does not restart anything: the tree below it does.

mod assembly;
mod error;
mod intake;
mod listeners;
mod operation;
mod plan;
mod presence;
mod profile;
mod provide;
mod review;
mod running;
mod shutdown;
mod site;
mod system;
mod threads;

pub use assembly::Node;
pub use error::NodeError;
pub use listeners::Past;
#[cfg(feature = "test-util")]
pub(crate) use operation::{Operation, operate};
pub use plan::{Plan, PlanItem};
pub use profile::{Profile, ProfileError};
pub use review::StrandedSaga;
#[cfg(feature = "test-util")]
pub(crate) use running::Handles;
pub use running::Running;
pub use shutdown::shutdown_signal;
#[cfg(feature = "test-util")]
pub(crate) use site::Site;
