//! The shop: six domains that work on an order by telling each other what happened.
//!
//! Each module is one domain. Its `group` is the table of what it answers and
//! hears; rules are plain functions beside it. [`groups`] knows them by name.
//!
//! No domain calls another to change it: `orders` asks `users` and `products`
//! before it takes an order in, and from there on events do the work. What a
//! domain knows it reads from the stream of its own events, so a node that was
//! killed goes on where it stood.

pub mod groups;
pub mod inventory;
mod log;
pub mod notifications;
pub mod orders;
pub mod payments;
pub mod products;
pub mod users;
