//! Projections: streams folded into models that are asked.
//!
//! A [`Projection`] reads the events of one or more domains, folds each into
//! a model with a plain function, and answers commands from it. It knows its
//! [`Lag`]. A model lives in memory, and may be written down at checkpoints; or
//! it is kept in a database that also has its [`Positions`] ([`Keep`]).
//!
//! This room decides nothing and publishes nothing: a model can be thrown away
//! at any time and is built again from the streams.

mod checkpoint;
mod copy;
mod desk;
mod follow;
mod keep;
mod lag;
mod mark;
mod plan;
mod positions;
mod reading;
mod rebuild;
mod seen;
mod spec;
mod wake;

pub use keep::{Batch, Keep};
pub use lag::Lag;
pub use mark::Mark;
pub use positions::Positions;
pub use rebuild::{RebuildError, rebuild};
pub use seen::Seen;
pub use spec::Projection;
