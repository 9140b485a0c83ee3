//! Which instance a command goes to.
//!
//! A [`RouteTable`] is data: [`Route`]s say for a command or a domain how calls
//! are spread, which versions get which share, and when an instance that fails is
//! left out for a while. The table that a node goes by is
//! changed while the node runs. A command without a route goes where it always
//! did: to the group in this process, else to any node that answers it, whether or
//! not its group is well. A table lives in the nodes, and ends with the last of them.
//!
//! Routes are for calls, and for what sagas and policies call. What is only told
//! ([`Client::tell`](crate::Client::tell)) goes the usual way, because nobody would
//! notice that the instance it was for has died; jobs go by their key's partition.
//! A client without a node, in whatever language, knows no routes.
//!
//! This room decides and sends nothing. Each decision is a function of what it is
//! given: who is there, the key, the time, and a number drawn at random.

mod able;
mod chosen;
mod eject;
mod error;
mod hash;
mod live;
#[cfg(test)]
mod model;
mod outliers;
mod pick;
mod read;
mod split;
mod table;

pub use crate::version::VersionError;
pub(crate) use chosen::{Chosen, Sign};
pub use eject::{Eject, Ejected, News};
pub use error::RouteError;
pub(crate) use hash::hash;
pub(crate) use live::{Routes, Wish};
pub use table::{Route, RouteTable, Rule, Spread};
