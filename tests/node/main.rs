//! What a node promises: it fits into any program, shares its work with its
//! peers, stops cleanly, and says what is wrong before it starts.

#[path = "../support/mod.rs"]
mod support;

mod blocked;
mod declared;
mod farm;
mod lifecycle;
mod load;
mod pasts;
mod peers;
mod refusals;
mod signals;
