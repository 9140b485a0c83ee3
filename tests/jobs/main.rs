//! What is promised of jobs and timers: at least once, in order per key, at
//! their time, and once for a group.

mod bank;
mod doing;
mod operating;
mod order;
mod outage;
mod repeating;
#[path = "../support/mod.rs"]
mod support;
mod unknown;
mod waiting;
