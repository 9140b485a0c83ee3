//! Limits: which are in force on every node, and how they stand.
//!
//! A node limits the commands that it has [in hand](crate::Node::in_hand), and what
//! its [policies](crate::policy) say of targets: how many calls are made and taken
//! in a time, are in flight, and are tried again. An actor of every node, `limits`
//! in its group `mesh`, answers [`ask`] with a [`Panel`] of them. What a
//! [client](crate::Client::policies) limits by a table of its own is its own business.
//!
//! This room limits nothing: what it tells of is counted where calls are made and
//! commands come in, and nobody there waits for it.
//!
//! ```
//! use callboard::{Bus, Node, limit};
//! # use std::time::Duration;
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! let node = Node::new("shop-1", Bus::embedded()).in_hand(500).start().await?;
//! let all = limit::Filter::default();
//! let panels = limit::ask(&node.client(), &all, Duration::from_secs(1)).await?;
//! let in_hand = &panels[0].limits[0];
//! assert_eq!((in_hand.of.name(), in_hand.now, in_hand.limit), ("in-hand", 0, 500));
//! node.stop().await?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod asking;
mod desk;
mod wire;

pub use crate::call::AskError;
pub use asking::ask;
pub(crate) use desk::Watched;
pub use wire::{Filter, Panel};
