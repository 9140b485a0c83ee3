//! What a group of actors promises its callers: who caused trouble learns it,
//! nobody else notices, the process lives, and nothing is lost silently.

#[path = "../support/mod.rs"]
mod support;

mod beside;
mod escalation;
mod instances;
mod mailboxes;
mod panics;
mod puppet;
mod stopping;
mod strategies;
