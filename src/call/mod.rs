//! One request, one reply, one deadline; and publishing.
//!
//! A [`Client`] publishes events and calls commands in one namespace.
//! [`Call`] and [`Publish`] are what it hands out: awaited, they do their work.
//! A command whose actor lives in this process goes straight to its mailbox.
//!
//! This room does not retry: who calls decides what another attempt would mean.

mod answer;
mod ask;
mod cause;
mod client;
mod error;
mod local;
mod meters;
mod operator;
mod parcel;
mod parks;
mod publish;
mod record;
mod remote;

pub use answer::{Answer, Refusal};
pub use ask::Call;
pub(crate) use cause::Cause;
pub use client::Client;
pub(crate) use client::Settings;
pub use error::{CallError, PublishError, TellError};
pub(crate) use local::{LocalCall, LocalReply};
#[cfg(feature = "cli")]
pub(crate) use operator::open_as_declared;
pub use operator::{Letter, LetterState, Operator, OperatorError, Parked, ParkedState};
pub(crate) use parcel::{Content, Door, Doors, Ended, NotTaken, Parcel, Receipt, Work};
pub(crate) use parks::{ParkRecord, ParkingError, Parks};
pub use publish::{Publish, Published};
pub(crate) use record::Record;
