//! What a policy promises to those who call, through the public API.

#[path = "../support/mod.rs"]
mod support;

mod blame;
mod breakers;
mod callee;
mod limits;
mod many;
mod nested;
mod retries;
mod scopes;
mod spared;
mod spread;
mod standing;
mod tended;
