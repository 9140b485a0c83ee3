//! Entities: the log is the database.
//!
//! An [`Entity`] has one state per key, built from the events on the key's own
//! subject. A command becomes a [`Decision`]; the events of a decision are one
//! message, appended on the condition that nothing came between, and that
//! append is the commit and the publication in one.
//!
//! This room keeps no database and holds no lock across nodes: the stream's
//! expectation is what protects an entity.

mod commands;
mod commit;
mod decision;
mod keeper;
mod life;
mod past;
mod plan;
mod reply;
mod shard;
mod snapshot;
mod spec;
mod table;

pub use decision::Decision;
pub use spec::Entity;
