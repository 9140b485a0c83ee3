use super::decision::Fact;
use crate::message::{Envelope, Event, codec};
use bytes::Bytes;
use std::{any::Any, collections::HashMap, sync::Arc};

/// What is the same for all keys of an entity.
pub(super) struct Plan<S> {
    pub(super) name: &'static str,
    /// The domain of its events; nothing as long as none is applied.
    pub(super) domain: Option<&'static str>,
    pub(super) initial: Arc<dyn Fn() -> S + Send + Sync>,
    /// How many entities are kept in memory while nobody asks for them.
    pub(super) cached: usize,
    applies: HashMap<&'static str, Apply<S>>,
}

/// Applies one type of event, decoded or not.
type Apply<S> = Arc<dyn Fn(&mut S, Form<'_>) -> Result<(), String> + Send + Sync>;

enum Form<'a> {
    Typed(&'a dyn Any),
    Encoded(&'a Bytes),
}

impl<S: 'static> Plan<S> {
    pub(super) fn new(name: &'static str, initial: Arc<dyn Fn() -> S + Send + Sync>) -> Self {
        Self { name, domain: None, initial, cached: 10_000, applies: HashMap::new() }
    }

    pub(super) fn on<E: Event>(&mut self, apply: impl Fn(&mut S, &E) + Send + Sync + 'static) {
        let domain = E::SUBJECT.domain();
        assert!(
            *self.domain.get_or_insert(domain) == domain,
            "the events of entity `{}` are of one domain, for they stand on one subject",
            self.name
        );
        let erased = move |state: &mut S, form: Form<'_>| match form {
            Form::Typed(event) => {
                apply(
                    state,
                    event
                        .downcast_ref()
                        .ok_or("is of another Rust type than was applied")?,
                );
                Ok(())
            }
            Form::Encoded(payload) => {
                apply(
                    state,
                    &codec::decode(payload).map_err(|error| error.to_string())?,
                );
                Ok(())
            }
        };
        self.applies.insert(E::SUBJECT.as_str(), Arc::new(erased));
    }

    /// Applies an event from the stream.
    pub(super) fn apply(&self, state: &mut S, event: &Envelope) -> Result<(), String> {
        self.form(state, &event.kind, Form::Encoded(&event.payload))
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
                "no `.apply` of entity `{}` is for `{kind}`",
                self.name
            ));
        };
        apply(state, form).map_err(|reason| format!("{kind} {reason}"))
    }
}
