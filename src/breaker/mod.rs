//! Breakers in the tree: they tell their changes, hear of others, and obey.
//!
//! A [`Breaker`](crate::policy::Breaker) decides by itself, in the process of
//! its callers. As a child of a group it is tended by an actor, which a
//! supervisor restarts like any other: it publishes every change on
//! `{ns}.sys.breaker.{opened|half-opened|closed}.{name}`, takes what other nodes
//! publish as [advice](crate::policy::Advice), and answers [`ask`] and [`force`].
//! The breakers of a node's policies are tended in its group `mesh`, by an actor
//! that also hears the events that make cached replies old; it is there on every
//! node, because policies may be [set](set_policies) while the node runs.
//!
//! Calls do not wait for this actor, and do not notice when it is restarted.
//!
//! ```
//! use callboard::{Actor, Bus, Group, Node, breaker, policy::{Breaker, Force}};
//! # use callboard::{Context, Failure};
//! # use std::time::Duration;
//! # struct Till(Breaker);
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! let gateway = Breaker::new("gateway");
//! let till = gateway.clone();
//! let payments = Group::new("payments")
//!     .child(gateway)
//!     .child(Actor::new("till", async move || Ok(Till(till.clone()))));
//! let node = Node::new("shop-1", Bus::embedded()).group(payments).start().await?;
//!
//! let panels = breaker::force(&node.client(), "gateway", Force::Open, Duration::from_secs(1)).await?;
//! assert_eq!(panels[0].breakers[0].state.name(), "forced-open");
//! node.stop().await?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod asking;
mod desk;
mod tended;
mod wire;

pub use crate::call::AskError;
#[cfg(feature = "cli")]
pub(crate) use asking::spread;
pub use asking::{SetError, ask, force, policies, set_policies};
pub(crate) use tended::Policed;
pub use wire::{News, Panel, Table};
