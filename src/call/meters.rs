use super::{CallError, PublishError};
use crate::telemetry::{CALL_SECONDS, CALLS_TOTAL, PUBLISHED_TOTAL};
use dashmap::DashMap;
use metrics::{Counter, Histogram};
use std::{sync::Arc, time::Duration};

/// The metrics of a client, by subject.
///
/// Those of what goes well are looked up once each: a program installs its
/// recorder before it calls or publishes.
#[derive(Default)]
pub(super) struct Meters {
    calls: DashMap<&'static str, Arc<CallMeter>>,
    stored: DashMap<&'static str, Counter>,
}

struct CallMeter {
    replied: Counter,
    seconds: Histogram,
}

impl Meters {
    /// Counts a call and how long its caller waited.
    pub(super) fn called<R>(
        &self,
        subject: &'static str,
        error: Option<&CallError<R>>,
        took: Duration,
    ) {
        let meter = self.call(subject);
        match error {
            None => meter.replied.increment(1),
            Some(error) => called(subject, error.label()).increment(1),
        }
        meter.seconds.record(took);
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

    fn call(&self, subject: &'static str) -> Arc<CallMeter> {
        if let Some(known) = self.calls.get(subject) {
            return Arc::clone(&known);
        }
        let meter = self.calls.entry(subject).or_insert_with(|| {
            let replied = called(subject, "replied");
            let seconds = metrics::histogram!(CALL_SECONDS, "subject" => subject);
            Arc::new(CallMeter { replied, seconds })
        });
        Arc::clone(&meter)
    }
}

fn called(subject: &'static str, outcome: &'static str) -> Counter {
    metrics::counter!(CALLS_TOTAL, "subject" => subject, "outcome" => outcome)
}

fn published(subject: &'static str, outcome: &'static str) -> Counter {
    metrics::counter!(PUBLISHED_TOTAL, "subject" => subject, "outcome" => outcome)
}
