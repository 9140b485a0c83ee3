//! A domain's memory: the stream of its own events, read back.
//!
//! A [`Life`] is what happened to one key, and the sequence to publish after:
//! a decision that was made on an older life than the stream's is refused by
//! the stream. A [`View`] folds all events of a domain, for what no single key
//! tells. Neither writes anything.

mod fact;
mod life;
mod view;

pub(crate) use fact::Fact;
pub(crate) use life::Life;
pub(crate) use view::{Fold, View};
