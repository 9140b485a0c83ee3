//! What is said: events, commands, rejections, and how they travel.
//!
//! The nouns are [`Event`] (a fact, any number may hear it), [`Command`] (a
//! request to one domain) and [`Rejection`] (that domain's "no"). An event
//! travels as an [`Envelope`], a command with a [`Request`]; both are headers
//! and a MessagePack payload made by the [`codec`].
//!
//! This room does not send anything: it turns types into bytes and names into
//! subjects, and back.

mod alike;
pub mod batch;
pub mod codec;
mod command;
mod envelope;
mod event;
mod gist;
mod guard;
pub mod headers;
mod id;
mod key;
pub(crate) mod known;
mod namespace;
mod park;
mod rejection;
mod request;
mod status;
mod subject;
pub(crate) mod timestamp;
mod trace;

pub(crate) use alike::{alike_as, told};
pub use command::{Command, Outcome, Refused, Reply};
pub use envelope::{Envelope, EnvelopeError, Origin};
pub(crate) use event::read_event;
pub use event::{Event, EventError, Older};
pub(crate) use gist::Gist;
pub use headers::{HeaderError, Headers};
pub use id::Id;
pub(crate) use id::LONGEST_ID;
pub use key::{Key, KeyError};
pub use namespace::{Namespace, NamespaceError};
pub(crate) use park::{Act, Park, ParkError};
pub use rejection::{Infallible, Rejection};
pub use request::Request;
pub use status::Status;
pub(crate) use status::one_line;
pub use subject::Subject;
pub(crate) use subject::is_name;
pub use trace::Trace;
