//! What the benches share: rounds in turn, medians, one line per measure.

#![allow(
    clippy::allow_attributes,
    reason = "an expectation fails where all is used"
)]
#![allow(dead_code, reason = "no bench uses all of it")]

pub(crate) mod child;
pub(crate) mod connz;
pub(crate) mod cpu;
pub(crate) mod desk;
mod metrics;
pub(crate) mod order;
pub(crate) mod raw;
pub(crate) mod round;
#[path = "../../tests/support/mod.rs"]
pub(crate) mod servers;

use tokio::runtime::{Builder, Runtime};

/// One allocator for all sides; the system's own is slow between threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

pub(crate) type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

/// What the program is run for.
#[derive(Debug)]
pub(crate) enum Task {
    /// To measure what the filter names.
    Measure,
    /// To be the other process of a measure.
    Assist(Vec<String>),
    /// For nothing: it is built and started as a test.
    Nothing,
}

/// Reads the task from the command line, and turns metrics on.
pub(crate) fn task() -> Task {
    metrics::install();
    order::check();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| first == child::MARK) {
        return Task::Assist(arguments[1..].to_vec());
    }
    if arguments.iter().any(|argument| argument == "--bench") {
        Task::Measure
    } else {
        Task::Nothing
    }
}

/// Whether a measure was asked for: all are, unless some are named.
pub(crate) fn wanted(name: &str) -> bool {
    let mut named = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with("--"))
        .peekable();
    named.peek().is_none() || named.any(|part| name.contains(&part))
}

/// Builds the runtime that every side of every measure runs on.
pub(crate) fn runtime() -> Runtime {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("the operating system gives a thread its event queue")
}
