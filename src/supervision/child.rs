use super::Group;
use crate::actor::{Actor, Blueprint};
use std::fmt;

/// Anything a group can supervise: an actor, or another group.
pub struct Child(pub(super) Kind);

pub(super) enum Kind {
    Actor(Blueprint),
    Group(Group),
}

impl Child {
    /// Returns the child's name, unique in its group.
    pub fn name(&self) -> &str {
        match &self.0 {
            Kind::Actor(blueprint) => blueprint.name,
            Kind::Group(group) => group.name(),
        }
    }
}

impl<A: 'static> From<Actor<A>> for Child {
    fn from(actor: Actor<A>) -> Self {
        Self(Kind::Actor(actor.blueprint()))
    }
}

impl From<Group> for Child {
    fn from(group: Group) -> Self {
        Self(Kind::Group(group))
    }
}

impl fmt::Debug for Child {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Child").field(&self.name()).finish()
    }
}
