//! What is counted and traced of a step.

use super::trip::Trip;
use crate::telemetry::{SAGA_STEP_SECONDS, SAGA_STEPS_TOTAL, STEP_SPAN};
use tokio::time::Instant;

/// One step that this run takes: what it is called, and since when.
///
/// Its label comes from a closed set, unlike its name.
pub(super) struct Step {
    pub(super) name: String,
    pub(super) label: &'static str,
    since: Instant,
}

impl Step {
    pub(super) fn begun(name: String, label: &'static str) -> Self {
        Self { name, label, since: Instant::now() }
    }
}

impl Trip {
    /// Counts a step whose outcome is known now.
    pub(super) fn count(&self, step: &Step, outcome: &'static str) {
        let (saga, label) = (self.plan.name, step.label);
        metrics::counter!(SAGA_STEPS_TOTAL, "saga" => saga, "step" => label, "outcome" => outcome)
            .increment(1);
        metrics::histogram!(SAGA_STEP_SECONDS, "saga" => saga, "step" => label)
            .record(step.since.elapsed());
    }

    /// Returns the span of one attempt at a step.
    pub(super) fn span(&self, step: &str, attempt: u32) -> tracing::Span {
        let (saga, id) = (self.plan.name, &self.id);
        tracing::info_span!(STEP_SPAN, saga, %id, step, attempt)
    }
}
