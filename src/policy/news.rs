use super::Change;
use crate::telemetry::DROPPED_TOTAL;
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};
use tokio::sync::broadcast::{self, Receiver, error::RecvError};

/// How many changes may wait for whoever tells them on.
const NEWS: usize = 256;

/// Where the changes of breakers go; cheap to clone, and all clones are one.
#[derive(Clone, Debug)]
pub(crate) struct Changes {
    way: broadcast::Sender<(&'static str, Change)>,
    /// Whether there has been anybody to tell them on.
    is_heard: Arc<AtomicBool>,
}

/// Who tells changes on; what it has not taken when it ends is counted as dropped.
#[derive(Debug)]
pub(crate) struct Heard(Receiver<(&'static str, Change)>);

/// Makes a way for changes.
pub(crate) fn changes() -> Changes {
    Changes { way: broadcast::Sender::new(NEWS), is_heard: Arc::default() }
}

impl Changes {
    /// Hears of changes from now on.
    pub(crate) fn subscribe(&self) -> Heard {
        self.is_heard.store(true, Relaxed);
        Heard(self.way.subscribe())
    }

    /// Passes a change on. A breaker that nobody tends has nobody to tell; one whose
    /// actor is being restarted loses it.
    pub(super) fn tell(&self, breaker: &'static str, change: Change) {
        if self.way.send((breaker, change)).is_err() && self.is_heard.load(Relaxed) {
            dropped(1);
        }
    }
}

impl Heard {
    /// Awaits the next change; nothing once all that could send one are gone.
    pub(crate) async fn next(&mut self) -> Option<(&'static str, Change)> {
        loop {
            match self.0.recv().await {
                Ok(change) => return Some(change),
                Err(RecvError::Lagged(missed)) => dropped(missed),
                Err(RecvError::Closed) => return None,
            }
        }
    }
}

impl Drop for Heard {
    fn drop(&mut self) {
        if !self.0.is_empty() {
            dropped(self.0.len() as u64);
        }
    }
}

fn dropped(changes: u64) {
    metrics::counter!(DROPPED_TOTAL).increment(changes);
}

#[cfg(test)]
mod tests {
    use super::{Change, changes};
    use crate::{policy::State, telemetry::DROPPED_TOTAL};
    use metrics_util::debugging::{DebugValue, DebuggingRecorder};

    fn change() -> Change {
        Change {
            from: State::Closed,
            to: State::Open,
            reason: "a test".to_owned(),
            retry_after: None,
            advised: false,
        }
    }

    #[test]
    fn changes_that_nobody_takes_are_counted_once_somebody_did() {
        let recorder = DebuggingRecorder::new();
        let dropped = recorder.snapshotter();
        let dropped = || {
            let counted = dropped.snapshot().into_vec().into_iter();
            let counted = counted.filter(|(key, ..)| key.key().name() == DROPPED_TOTAL);
            counted
                .map(|(.., value)| match value {
                    DebugValue::Counter(count) => count,
                    _ => 0,
                })
                .sum::<u64>()
        };
        metrics::with_local_recorder(&recorder, || {
            let changes = changes();
            changes.tell("till", change());
            assert_eq!(dropped(), 0, "nobody tends it");
            let heard = changes.subscribe();
            changes.tell("till", change());
            drop(heard);
            assert_eq!(dropped(), 1, "it was not taken any more");
            changes.tell("till", change());
            assert_eq!(dropped(), 1, "its actor is being restarted");
        });
    }
}
