use super::{decision::Fact, snapshot::Snapshots};
use crate::message::{Event, Gist, Subject};
use std::{any::Any, collections::HashMap, sync::Arc, time::Duration};

/// What an entity was described as.
pub(super) struct Plan<S> {
    pub(super) name: &'static str,
    /// The domain of its events; nothing as long as none is applied.
    pub(super) domain: Option<&'static str>,
    pub(super) initial: Arc<dyn Fn() -> S + Send + Sync>,
    /// How many entities are kept in memory while nobody asks for them.
    pub(super) cached: usize,
    /// How long one is kept in memory while nobody asks for it.
    pub(super) idle: Duration,
    pub(super) snapshots: Option<Snapshots<S>>,
    /// The version of the state in snapshots.
    pub(super) version: u32,
    applies: HashMap<&'static str, Apply<S>>,
}

type Apply<S> = Arc<dyn Fn(&mut S, Form<'_>) -> Result<(), String> + Send + Sync>;

enum Form<'a> {
    Typed(&'a dyn Any),
    Stored(&'a Gist<'a>),
}

impl<S: 'static> Plan<S> {
    pub(super) fn new(name: &'static str, initial: Arc<dyn Fn() -> S + Send + Sync>) -> Self {
        Self {
            name,
            domain: None,
            initial,
            cached: 10_000,
            idle: Duration::from_mins(10),
            snapshots: None,
            version: 1,
            applies: HashMap::new(),
        }
    }

    pub(super) fn on<E: Event>(&mut self, apply: impl Fn(&mut S, &E) + Send + Sync + 'static) {
        self.add(E::SUBJECT, move |state: &mut S, form| {
            match form {
                Form::Typed(event) => {
                    let event = event.downcast_ref();
                    apply(
                        state,
                        event.ok_or("is of another Rust type than was applied")?,
                    );
                }
                Form::Stored(gist) => {
                    apply(state, &gist.event().map_err(|error| error.to_string())?);
                }
            }
            Ok(())
        });
    }

    /// Lets an event pass without a change.
    pub(super) fn pass(&mut self, subject: Subject) {
        self.add(subject, |_, _| Ok(()));
    }

    fn add(
        &mut self,
        subject: Subject,
        apply: impl Fn(&mut S, Form<'_>) -> Result<(), String> + Send + Sync + 'static,
    ) {
        let domain = subject.domain();
        assert!(
            *self.domain.get_or_insert(domain) == domain,
            "the events of entity `{}` are of one domain, for they stand on one subject",
            self.name
        );
        self.applies.insert(subject.as_str(), Arc::new(apply));
    }

    /// Applies an event from the stream.
    pub(super) fn apply(&self, state: &mut S, event: &Gist<'_>) -> Result<(), String> {
        self.form(state, event.kind, Form::Stored(event))
    }

    /// Applies an event that was just decided.
    pub(super) fn apply_fact(&self, state: &mut S, fact: &Fact) -> Result<(), String> {
        self.form(state, fact.subject.as_str(), Form::Typed(&*fact.event))
    }

    /// Returns whether an event that was decided can be applied.
    pub(super) fn knows(&self, fact: &Fact) -> bool {
        self.applies.contains_key(fact.subject.as_str())
    }

    fn form(&self, state: &mut S, kind: &str, form: Form<'_>) -> Result<(), String> {
        let Some(apply) = self.applies.get(kind) else {
            return Err(format!(
                "no `.apply` of entity `{}` is for `{kind}`; add one, or `.ignore` it",
                self.name
            ));
        };
        apply(state, form).map_err(|reason| format!("{kind} {reason}"))
    }
}
