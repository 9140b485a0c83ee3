use super::{Group, child::Kind, group::join};
use crate::actor::{Begins, SagaNeeds};
use std::collections::{BTreeMap, BTreeSet};

/// What a group needs of the bus, by its actors' tables.
#[derive(Default)]
pub(crate) struct Needs {
    /// The domains that it answers for.
    pub(crate) answers: BTreeSet<&'static str>,
    /// Whether it repeats something, for which it has jobs of its own.
    pub(crate) repeats: bool,
    /// The path of each actor that hears events, and the domain of these.
    pub(crate) hears: BTreeMap<(String, &'static str), Place>,
    /// The sagas whose journals it keeps.
    pub(crate) sagas: BTreeMap<&'static str, SagaNeeds>,
}

/// Where an actor begins to hear events if it is new, and how it was called before.
pub(crate) type Place = (Begins, Option<String>);

impl Group {
    /// Returns what it needs, with all that is below it.
    pub(crate) fn needs(&self) -> Needs {
        let mut needs = Needs::default();
        self.add_needs("", &mut needs);
        needs
    }

    fn add_needs(&self, parent: &str, needs: &mut Needs) {
        let path = join(parent, self.name());
        for child in &self.children {
            match &child.0 {
                Kind::Group(group) => group.add_needs(&path, needs),
                Kind::Actor(actor) => {
                    let answers = actor.answers.iter();
                    needs
                        .answers
                        .extend(answers.map(|answered| answered.subject.domain()));
                    let sagas = actor.sagas.clone();
                    needs.sagas.extend(sagas.map(|sagas| (actor.name, sagas)));
                    needs.repeats |= !actor.repeats.is_empty();
                    let path = join(&path, actor.name);
                    let heard = actor.hears.iter().map(|(event, _)| event.domain());
                    let place = (actor.begins, actor.formerly.clone());
                    needs
                        .hears
                        .extend(heard.map(|domain| ((path.clone(), domain), place.clone())));
                }
            }
        }
    }
}
