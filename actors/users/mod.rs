//! Who buys.
//!
//! The entity `user` stands on the user's id, the name in lower case. It is
//! registered once, so a name has one owner, whoever asks where.

mod rules;
mod user;

use callboard::{Entity, Group, Strategy};
use std::time::Duration;
use user::{User, is_name, new};

/// Returns the domain's table.
pub fn group() -> Group {
    let user = Entity::new("user", User::default)
        .decide_with(new, User::register)
        .decide_with(is_name, User::get)
        .apply(User::registered);
    Group::new("users")
        .strategy(Strategy::OneForOne)
        .intensity(10, Duration::from_secs(10))
        .child(user)
}
