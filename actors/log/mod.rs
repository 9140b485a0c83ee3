//! A domain's memory: the stream of its own events, read back.
//!
//! A [`View`] folds all events of a domain, for what no single entity tells.
//! It writes nothing.

mod fact;
mod view;

pub(crate) use fact::Fact;
pub(crate) use view::{Fold, View};
