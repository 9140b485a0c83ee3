//! Who buys.
//!
//! A user is one event, `users.registered`, on the key of the user's id. The
//! stream takes the first one only, so a name has one owner, whoever asks where.

mod registry;
mod rules;

use callboard::{Actor, Group, Strategy};
use registry::Registry;
use std::time::Duration;

/// Returns the domain's table.
pub fn group() -> Group {
    Group::new("users")
        .strategy(Strategy::OneForOne)
        .intensity(10, Duration::from_secs(10))
        .child(
            Actor::new("registry", Registry::open)
                .instances(4)
                .answer(Registry::register)
                .answer(Registry::get),
        )
}
