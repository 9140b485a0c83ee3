//! The shop: six domains that work on orders.
//!
//! Each module is one domain. Its `group` is the table of what it answers and
//! hears; rules are plain functions beside it. [`groups`] knows them by name.
//!
//! What a domain knows are entities: their events are the truth, and each
//! command is decided on the newest of them, so any process may die at any
//! time. What takes several domains is a saga of `orders`: it has the others
//! hold stock and take money, and give both back if it comes to nothing. Beside
//! them stand actors that turn the events of other domains into commands to
//! their own entities.

pub mod groups;
pub mod inventory;
mod log;
pub mod notifications;
pub mod orders;
pub mod payments;
pub mod products;
pub mod users;

use callboard::{Retry, message::Key};
use std::time::Duration;

/// How often an event is tried: a minute of trouble leaves no order behind.
const RETRY: Retry = Retry::new(12).backoff(Duration::from_millis(200), Duration::from_secs(30));

/// Whether an entity can stand on this text.
fn is_key(text: &str) -> bool {
    Key::new(text).is_ok()
}
