use super::{CallError, PublishError, Traffic, by_type::ByType};
use crate::{
    message::{Command, Event, Refused},
    telemetry::{CALL_SECONDS, CALLS_TOTAL, PUBLISHED_TOTAL},
};
use dashmap::mapref::one::Ref;
use metrics::{Counter, Histogram};
use std::{any::TypeId, sync::Arc, time::Duration};

/// The metrics of a client, by command and event.
///
/// Those of what goes well are looked up once each: a program installs its
/// recorder before it calls or publishes.
pub(super) struct Meters {
    /// Notes each command and event that the domain begins to send.
    traffic: Traffic,
    domain: Arc<str>,
    calls: ByType<(Counter, Histogram)>,
    stored: ByType<Counter>,
}

impl Meters {
    pub(super) fn new(traffic: Traffic, domain: &str) -> Self {
        Self {
            traffic,
            domain: domain.into(),
            calls: ByType::default(),
            stored: ByType::default(),
        }
    }

    /// Counts a call and how long its caller waited.
    pub(super) fn called<C: Command>(&self, error: Option<&CallError<Refused<C>>>, took: Duration) {
        if let Some(error) = error {
            called(C::SUBJECT.as_str(), error.label()).increment(1);
        }
        let meter = self.call::<C>();
        if error.is_none() {
            meter.0.increment(1);
        }
        meter.1.record(took);
    }

    /// Counts an event.
    pub(super) fn published<E: Event>(&self, error: Option<&PublishError>) {
        let subject = E::SUBJECT.as_str();
        if let Some(error) = error {
            return published(subject, error.label()).increment(1);
        }
        if let Some(stored) = self.stored.get(&TypeId::of::<E>()) {
            return stored.increment(1);
        }
        self.traffic.publishes(&self.domain, subject);
        let stored = self.stored.entry(TypeId::of::<E>());
        stored
            .or_insert_with(|| published(subject, "stored"))
            .increment(1);
    }

    fn call<C: Command>(&self) -> Ref<'_, TypeId, (Counter, Histogram)> {
        if let Some(known) = self.calls.get(&TypeId::of::<C>()) {
            return known;
        }
        let subject = C::SUBJECT.as_str();
        self.traffic.calls(&self.domain, C::SUBJECT.domain());
        let new = self.calls.entry(TypeId::of::<C>()).or_insert_with(|| {
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
