use super::{
    Keep, Lag, Seen,
    desk::{Desk, Respond},
    plan::{Checkpointed, Kept, Plan},
};
use crate::{
    actor::{Actor, Birth, Taken},
    call::Answer,
    error::Failure,
    message::{Command, Event, codec},
    supervision::Child,
};
use serde::{Serialize, de::DeserializeOwned};
use std::{fmt, sync::Arc, time::Duration};

/// How much longer starting may take than catching up.
const SETTING_UP: Duration = Duration::from_secs(30);

#[doc = include_str!("projection.md")]
#[must_use = "a projection does nothing until it is the child of a group on a node"]
pub struct Projection<S> {
    plan: Plan<S>,
    answers: Vec<AddTo<S>>,
}

/// Adds one command to the actor of a projection.
type AddTo<S> = Box<dyn FnOnce(Actor<Desk<S>>) -> Actor<Desk<S>>>;

impl<S: 'static> Projection<S> {
    /// Describes a projection by its name and its model before the first event.
    ///
    /// The name is one token of `a-z 0-9 -`, unique in its group.
    pub fn new(name: &'static str, initial: impl Fn() -> S + Send + Sync + 'static) -> Self {
        Self {
            plan: Plan::new(name, Arc::new(move || Ok(initial()))),
            answers: Vec::new(),
        }
    }

    /// Describes a projection whose model is kept in a database or the like,
    /// by its name and by what opens it.
    ///
    /// Every node that hosts it opens it. That several nodes, or a restarted
    /// one, write to one database is harmless, as long as
    /// [`Keep::keep`] holds what it promises.
    pub fn kept(
        name: &'static str,
        open: impl Fn() -> Result<S, Failure> + Send + Sync + 'static,
    ) -> Self
    where
        S: Keep,
    {
        let kept = Kept { positions: S::positions, marks: S::marks, keep: S::keep };
        let mut plan = Plan::new(name, Arc::new(open));
        plan.kept = Some(kept);
        Self { plan, answers: Vec::new() }
    }

    /// Folds an event into the model: a pure function that cannot fail.
    ///
    /// Events that no fold is for are passed over. One of a newer version than
    /// this program knows is waited at: its lag grows until the program is
    /// updated. One that does not decode is left out, said in the log and counted as
    /// [`UNREADABLE_TOTAL`](crate::telemetry::UNREADABLE_TOTAL). A panic drops
    /// the model and restarts the projection from where it was written down.
    ///
    /// # Panics
    ///
    /// Panics if the event has a fold already.
    pub fn fold<E: Event>(
        mut self,
        fold: impl Fn(&mut S, &E, &Seen) + Send + Sync + 'static,
    ) -> Self {
        self.plan.on(fold);
        self
    }

    /// Answers a command from the model, and may say how far that is behind. A
    /// panic is its caller's 500; a [`Failure::crash`] restarts the projection.
    pub fn answer<C: Command>(
        mut self,
        answer: impl Fn(&S, &C, &Lag) -> Answer<C> + Send + Sync + 'static,
    ) -> Self {
        let answer: Respond<S, C> = Arc::new(answer);
        self.answers.push(Box::new(move |actor| {
            actor.take(async move |desk: &mut Desk<S>, taken: Taken<C>| {
                desk.take(taken, Arc::clone(&answer)).await;
            })
        }));
        self
    }

    /// Writes the model down after so many messages, and when the node stops:
    /// the next one goes on from there. Without it, a model in memory is built
    /// from the first event at every start.
    ///
    /// A checkpoint is kept in the stream of snapshots, split into messages; a
    /// model may take 64 MiB. Writing it holds up the projection's thread for
    /// as long as encoding it takes. One that cannot be read is ignored. A
    /// model that is [`kept`](Self::kept) elsewhere needs none.
    ///
    /// # Panics
    ///
    /// Panics if the count is 0.
    pub fn checkpoint_every(mut self, messages: u64) -> Self
    where
        S: Serialize + DeserializeOwned,
    {
        assert!(
            messages > 0,
            "a checkpoint comes after at least one message"
        );
        self.plan.checkpoint = Some(Checkpointed {
            every: messages,
            write: codec::encode_large,
            read: codec::decode_large,
        });
        self
    }

    /// Sets the version of the model, 1 by default: raise it when the folds or
    /// the model's fields change. Checkpoints of other versions are left alone.
    pub const fn version(mut self, version: u32) -> Self {
        self.plan.version = version;
        self
    }

    /// Lets every question wait until the model has all that its streams held
    /// when it was asked, at most this long; then it is answered from what is
    /// there. Who publishes and then asks finds what was published.
    ///
    /// It costs a look at the end of each stream, which questions that come at
    /// the same time share.
    pub const fn fresh_within(mut self, limit: Duration) -> Self {
        self.plan.fresh = Some(limit);
        self
    }

    /// Sets how long the node waits at its start for the model to catch up; 10 s
    /// by default. After that it answers, and its lag tells that it is behind.
    pub const fn caught_up_within(mut self, limit: Duration) -> Self {
        self.plan.caught_up_within = limit;
        self
    }
}

impl<S: 'static> From<Projection<S>> for Child {
    fn from(projection: Projection<S>) -> Self {
        let plan = Arc::new(projection.plan);
        let (name, lag) = (plan.name, Arc::clone(&plan.lag));
        let schemas = plan.schemas();
        let within = plan.caught_up_within.saturating_add(SETTING_UP);
        let open = async move |birth: Birth| Desk::open(Arc::clone(&plan), birth).await;
        let desk = Actor::born(name, open, Desk::look)
            .lag(lag)
            .start_within(within)
            .on_stop(Desk::close);
        let read = schemas.into_iter();
        let desk = read.fold(desk, |desk, (event, version)| desk.reads(event, version));
        projection
            .answers
            .into_iter()
            .fold(desk, |desk, add| add(desk))
            .into()
    }
}

impl<S> fmt::Debug for Projection<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Projection")
            .field("name", &self.plan.name)
            .finish_non_exhaustive()
    }
}
