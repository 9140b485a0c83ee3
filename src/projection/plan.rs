use super::{Batch, Mark, Positions, Seen};
use crate::{
    error::Failure,
    message::{
        Event,
        codec::{DecodeError, EncodeError},
        read_event,
    },
    telemetry::UNREADABLE_TOTAL,
};
use bytes::Bytes;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

/// What is the same for all copies of a projection's model.
pub(super) struct Plan<S> {
    pub(super) name: &'static str,
    pub(super) version: u32,
    pub(super) open: Arc<dyn Fn() -> Result<S, Failure> + Send + Sync>,
    pub(super) domains: BTreeSet<&'static str>,
    pub(super) kept: Option<Kept<S>>,
    pub(super) checkpoint: Option<Checkpointed<S>>,
    /// How long a question waits for the model to be as new as the streams.
    pub(super) fresh: Option<Duration>,
    pub(super) caught_up_within: Duration,
    /// How many messages the live copy is behind, for the tree.
    pub(super) lag: Arc<AtomicU64>,
    /// By type, each with the latest version of it that is known.
    folds: HashMap<&'static str, (u32, Fold<S>)>,
}

type Fold<S> = Arc<dyn Fn(&mut S, &Seen) -> Result<(), String> + Send + Sync>;

/// A model that notes by itself how far it got.
pub(super) struct Kept<S> {
    pub(super) positions: fn(&mut S) -> Result<Positions, Failure>,
    pub(super) marks: fn(&mut S) -> Result<BTreeMap<String, Mark>, Failure>,
    pub(super) keep: fn(&mut S, &Batch<'_, S>) -> Result<(), Failure>,
}

/// A model in memory that is written down now and then.
pub(super) struct Checkpointed<S> {
    pub(super) every: u64,
    pub(super) write: fn(&S) -> Result<Bytes, EncodeError>,
    pub(super) read: fn(&[u8]) -> Result<S, DecodeError>,
}

impl<S: 'static> Plan<S> {
    pub(super) fn new(
        name: &'static str,
        open: Arc<dyn Fn() -> Result<S, Failure> + Send + Sync>,
    ) -> Self {
        Self {
            name,
            version: 1,
            open,
            domains: BTreeSet::new(),
            kept: None,
            checkpoint: None,
            fresh: None,
            caught_up_within: Duration::from_secs(10),
            lag: Arc::default(),
            folds: HashMap::new(),
        }
    }

    pub(super) fn on<E: Event>(
        &mut self,
        fold: impl Fn(&mut S, &E, &Seen) + Send + Sync + 'static,
    ) {
        let erased = move |model: &mut S, seen: &Seen| {
            let (version, payload) = (seen.envelope().version, &seen.envelope().payload);
            let event = read_event(version, payload).map_err(|error| error.to_string())?;
            fold(model, &event, seen);
            Ok(())
        };
        let before = self
            .folds
            .insert(E::SUBJECT.as_str(), (E::VERSION, Arc::new(erased)));
        assert!(
            before.is_none(),
            "projection `{}` folds `{}` twice; list one fold",
            self.name,
            E::SUBJECT
        );
        self.domains.insert(E::SUBJECT.domain());
    }

    /// Returns the event types that are folded, and the newest version known of each.
    pub(super) fn schemas(&self) -> Vec<(&'static str, u32)> {
        let folds = self.folds.iter();
        folds.map(|(&event, (known, _))| (event, *known)).collect()
    }

    /// Whether an event was written by a newer program than this.
    pub(super) fn is_too_new(&self, seen: &Seen) -> bool {
        let fold = self.folds.get(seen.envelope().kind.as_str());
        fold.is_some_and(|(known, _)| seen.envelope().version > *known)
    }

    /// Folds an event, if it is of a type that is folded. One that cannot be
    /// read is left out, said and counted: no later attempt could read it.
    pub(super) fn fold(&self, model: &mut S, seen: &Seen, path: &str) {
        let Some((_, fold)) = self.folds.get(seen.envelope().kind.as_str()) else {
            return;
        };
        if let Err(reason) = fold(model, seen) {
            let (kind, sequence) = (&seen.envelope().kind, seen.sequence());
            left_out(path, sequence, &format!("{kind} {reason}"));
        }
    }
}

/// Says and counts that a message is not in the model.
pub(super) fn left_out(path: &str, sequence: u64, reason: &str) {
    tracing::error!(
        child = path,
        sequence,
        reason,
        "an event is left out of the model"
    );
    metrics::counter!(UNREADABLE_TOTAL, "child" => path.to_owned()).increment(1);
}
