use super::{CallError, PublishError};
use crate::telemetry::{CALL_SECONDS, CALLS_TOTAL, PUBLISHED_TOTAL};
use dashmap::{DashMap, mapref::one::Ref};
use metrics::{Counter, Histogram};
use std::time::Duration;

/// The metrics of a client, by subject.
///
/// Those of what goes well are looked up once each: a program installs its
/// recorder before it calls or publishes.
#[derive(Default)]
pub(super) struct Meters {
    calls: DashMap<&'static str, (Counter, Histogram)>,
    stored: DashMap<&'static str, Counter>,
}

impl Meters {
    /// Counts a call and how long its caller waited.
    pub(super) fn called<R>(
        &self,
        subject: &'static str,
        error: Option<&CallError<R>>,
        took: Duration,
    ) {
        if let Some(error) = error {
            called(subject, error.label()).increment(1);
        }
        let meter = self.call(subject);
        if error.is_none() {
            meter.0.increment(1);
        }
        meter.1.record(took);
    }

    /// Counts an event.
    pub(super) fn published(&self, subject: &'static str, error: Option<&PublishError>) {
        if let Some(error) = error {
            return published(subject, error.label()).increment(1);
        }
        if let Some(stored) = self.stored.get(subject) {
            return stored.increment(1);
        }
        let stored = self.stored.entry(subject);
        stored
            .or_insert_with(|| published(subject, "stored"))
            .increment(1);
    }

    fn call(&self, subject: &'static str) -> Ref<'_, &'static str, (Counter, Histogram)> {
        if let Some(known) = self.calls.get(subject) {
            return known;
        }
        let new = self.calls.entry(subject).or_insert_with(|| {
            let seconds = metrics::histogram!(CALL_SECONDS, "subject" => subject);
            (called(subject, "replied"), seconds)
        });
        new.downgrade()
    }
}

fn called(subject: &'static str, outcome: &'static str) -> Counter {
    metrics::counter!(CALLS_TOTAL, "subject" => subject, "outcome" => outcome)
}

fn published(subject: &'static str, outcome: &'static str) -> Counter {
    metrics::counter!(PUBLISHED_TOTAL, "subject" => subject, "outcome" => outcome)
}
