//! Sagas: steps over several domains that are all done, or all undone.
//!
//! A [`Saga`] is an `async fn` whose [`Steps`] carry their undo. Its journal
//! stands on its own subject in a stream; a runner on any node takes it from
//! there. An [`Abort`] makes it undo what was done, and [`Sagas`] is how people
//! and programs look at sagas and tell them what to do.
//!
//! # What is written, and when
//!
//! One message of the journal holds the transitions that became true together,
//! and is appended on the condition that nothing came after what its writer
//! knows: of two runners one is refused, and stops. What is larger than 768 KiB is
//! written in parts, in order. A saga of `n` steps one
//! after the other waits for `n + 2` appends: one for its start, and one before
//! each step, which says *done* of the step before as well, and the last one
//! says *done* and *ended*.
//! Each append and each call is one round trip that is waited for: a checkout of
//! three calls waits for five appends and three replies, whether it completes or
//! turns back after two steps. Without waiting for them it sends an
//! acknowledgement and two [news](crate::message::Namespace::saga_news) for
//! dashboards. `benches/saga` counts them.
//!
//! *Done* can wait for the next message, because a step that was done and whose
//! *done* is lost is called again under the same id, and gives the same reply.
//! *Intended* cannot: it is what tells that a step may have been taken.
//! One that aborts takes one append before and one after all that is undone.
//! A step that is tried again takes one append more for each attempt that is
//! followed by more than two seconds outside of memory.
//!
//! What is survived is what the bus survives: a message that the bus loses is
//! lost to the journal too. Journals are kept as long as their stream is: nothing
//! removes those of sagas that ended, so [`Sagas::list`] and
//! [`Node::check`](crate::Node::check) read all of them, one message at a time,
//! and hold in memory only what is not over.
//!
//! # Two runners
//!
//! What asks a saga to go on is a message in a stream. Each such message is with
//! one runner at a time; a runner that does not speak for
//! [8 s](Saga::takeover_after) loses it to another. So two may be at one saga: the
//! first was merely paused, or one has its start and the other an alarm. Then both
//! may call the same step under the same id, and the journal takes the word of one
//! of them; the other stops, and undoes what it did if that word is "refused". A
//! runner that wakes up looks at the clock before it
//! calls anything, and stops if its time is over.
//!
//! # What nothing would wake
//!
//! A live saga is woken by what is in the stream: its start, an event, an alarm. Where
//! that is missing, such as after an operator's command that died between its two writes,
//! runners find it: one second after their start and every ten minutes they look which
//! live sagas have neither an alarm nor anything that is not done, and wake them.
//!
//! This room keeps no timers in memory but short ones, and knows no domain: what
//! it calls must know the id of a command that it has seen, as entities do.

mod abort;
mod awaiting;
mod book;
mod calling;
mod check;
mod compare;
#[cfg(feature = "test-util")]
mod crash;
mod desk;
mod errand;
mod error;
mod journal;
mod keeping;
mod news;
mod page;
mod plan;
mod rearm;
mod roll;
mod runner;
mod sagas;
mod scope;
mod settle;
mod spec;
mod status;
mod step;
mod steps;
mod telling;
mod trip;
mod undoing;
mod visit;
mod waiting;

pub use abort::Abort;
pub use calling::CallStep;
#[cfg(feature = "test-util")]
pub use crash::CrashPoint;
pub(crate) use errand::reads_errands;
pub use error::SagaError;
pub use roll::{SagaFilter, SagaList};
pub use sagas::{Retried, SagaOutcome, Sagas};
pub use spec::Saga;
pub use status::{PivotStatus, SagaPhase, SagaState, SagaStatus, StepStatus, StepTrouble};
pub use steps::Steps;
pub use telling::{PublishStep, SendStep};
pub use waiting::{SleepStep, WaitStep};
