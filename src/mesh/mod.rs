//! Who is there: every node says how its groups are, and hears it of the others.
//!
//! Each node has its part in it. Its **beacon** says again and again that the node
//! lives, its **health** runs the groups' own checks, its **ear** keeps
//! the node's [`Roster`](crate::Roster), and its **services** answer NATS's own
//! service protocol. They are actors of a group that every node hosts.
//!
//! ```text
//! {ns}.sys.node.presence.beat     I live, and this is the number of my card
//! {ns}.sys.node.presence.digest   who listens tells who lives
//! {ns}.sys.node.presence.news.*   a card that is new, or the word that I leave
//! {ns}.sys.ask.presence           who starts asks once; one node answers with all
//! {ns}.sys.ask.presence.{id}.*    for one node: show your card, go on answering
//! {ns}.sys.operator.routes.set    an operator sets the routing table
//! {ns}.sys.node.routes.*          it is told to all; one node sets it for all
//! {ns}.sys.ask.routes.*           one node tells it; who goes by it; who is left out
//! {ns}.sys.*.policies.*           the table of policies: likewise
//! ```
//!
//! Each node says one small thing per heartbeat, however many hear it. Among many
//! nodes a few listen to all of these, and one of them tells the others who is
//! there, so that what a node hears does not grow with them. Nobody answers to a
//! card: who starts hears of the others from one of them.
//!
//! This room does not choose whom to call; it only knows who is there.

mod beacon;
mod card;
mod clocks;
mod ear;
mod ejected;
mod graph;
mod group;
mod health;
mod pace;
mod question;
mod relay;
mod routes;
mod services;
mod setter;
mod wire;

pub(crate) use card::{Mesh, Own, Phase};
#[cfg(feature = "cli")]
pub(crate) use ejected::{LeftOut, ejected};
pub use graph::{Edge, Graph};
pub(crate) use group::{NAME, group};
pub(crate) use pace::Pace;
#[cfg(feature = "cli")]
pub(crate) use question::{Known, cards};
pub use routes::TableError;
#[cfg(feature = "cli")]
pub(crate) use routes::get as get_routes;
pub(crate) use routes::set as set_routes;
