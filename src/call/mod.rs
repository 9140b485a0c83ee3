//! One request, one reply, one deadline; publishing; and jobs.
//!
//! A [`Client`] publishes events, calls commands and sends them as jobs in one
//! namespace. [`Call`], [`Publish`] and [`Job`] are what it hands out: awaited,
//! they do their work.
//! A command whose actor lives in this process goes straight to its mailbox.
//!
//! This room does not retry, unless a [policy](crate::policy) says so: who calls
//! decides what another attempt would mean.

mod answer;
mod ask;
mod by_type;
mod cause;
mod client;
mod error;
mod guarded;
mod job;
mod lines;
mod load;
mod local;
mod many;
mod meaning;
mod meters;
mod named;
mod operator;
mod parcel;
mod parks;
mod publish;
mod record;
mod remote;
mod routed;
mod settings;
mod skips;
pub(crate) mod survey;
pub(crate) mod tables;
mod ways;

pub use answer::{Answer, Refusal};
pub use ask::Call;
pub(crate) use cause::Cause;
pub use client::Client;
pub(crate) use client::open_as_declared;
pub use error::{CallError, JobError, PublishError, TellError};
pub use job::{Job, Sent};
pub(crate) use lines::Lines;
pub(crate) use load::{COME_AGAIN, Load, Place};
pub(crate) use local::{LocalCall, LocalReply};
pub use many::CallAll;
pub(crate) use named::{Named, ask_named};
pub use operator::{
    JobState, Letter, LetterState, NewJob, Operator, OperatorError, Parked, ParkedState,
    SkippedMessage, WaitingJob, WaitingJobs,
};
pub(crate) use parcel::{
    Arrived, Content, Door, Doors, Ended, Errand, NotTaken, Parcel, Pulse, Receipt, Work,
};
pub(crate) use parks::{Batch, ParkRecord, ParkingError, Parks};
pub use publish::{Publish, Published};
#[cfg(feature = "test-util")]
pub(crate) use record::Noted;
pub(crate) use record::Record;
pub(crate) use settings::Settings;
pub(crate) use skips::{Skip, SkipRecord, Skips};
pub use survey::AskError;
pub(crate) use ways::{Callers, Tally, Traffic, Ways, note_caller};
