//! What is known of who is there.
//!
//! A [`Card`] is what a node says of itself: its [`Service`]s, where they run,
//! how they are. A [`Roster`] holds the cards of all nodes of a namespace, as
//! this process has heard of them; a [`Query`] finds [`Instance`]s in it. Reading
//! never waits: not for the network, not for who writes.
//!
//! This room hears and says nothing: what comes over the bus is the business of
//! the [`mesh`](crate::mesh).

mod card;
mod count;
mod ledger;
mod query;
mod view;

pub(crate) use card::MAX_CARD;
pub use card::{Card, Instance, Service, Status};
pub use count::{Count, Statistics};
pub(crate) use ledger::{Beat, Heard, JUMP};
pub use query::Query;
pub use semver::{Version, VersionReq};
pub use view::{Changes, Roster};
