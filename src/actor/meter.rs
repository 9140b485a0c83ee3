use crate::{
    call::{Ended, Tally},
    telemetry::{HANDLED_TOTAL, HANDLER_SECONDS},
};
use metrics::{Counter, Histogram, SharedString};
use std::{sync::Arc, time::Duration};

/// The metrics of one handler.
///
/// Those of a message that is done are looked up once, when the node starts,
/// because nearly every message needs them: a program installs its recorder before.
pub(super) struct Meter {
    child: SharedString,
    subject: &'static str,
    done: Counter,
    seconds: Histogram,
    tally: Arc<Tally>,
}

impl Meter {
    pub(super) fn new(path: &Arc<str>, subject: &'static str, tally: Arc<Tally>) -> Self {
        let child = SharedString::from_shared(Arc::clone(path));
        Self {
            done: handled(&child, subject, "done"),
            seconds: metrics::histogram!(HANDLER_SECONDS, "child" => child.clone(), "subject" => subject),
            child,
            subject,
            tally,
        }
    }

    /// Counts a message and how long its handler took.
    pub(super) fn count(&self, ended: &Ended, took: Duration) {
        match ended {
            Ended::Done => self.done.increment(1),
            Ended::Failed(_) => handled(&self.child, self.subject, "failed").increment(1),
            Ended::Crashed(_) => handled(&self.child, self.subject, "crashed").increment(1),
            Ended::Unhandled => handled(&self.child, self.subject, "unhandled").increment(1),
        }
        self.seconds.record(took);
        match ended {
            Ended::Done | Ended::Unhandled => self.tally.done(took),
            Ended::Failed(failure) => self.tally.failed(took, &failure.to_string()),
            Ended::Crashed(reason) => self.tally.failed(took, reason),
        }
    }
}

fn handled(child: &SharedString, subject: &'static str, outcome: &'static str) -> Counter {
    metrics::counter!(HANDLED_TOTAL, "child" => child.clone(), "subject" => subject, "outcome" => outcome)
}
