use super::desk::Desk;
use crate::{
    actor::{Actor, Birth},
    call::Lines,
    policy::{Breaker, Changes},
    supervision::Child,
};

/// What one actor tends.
#[derive(Clone, Debug)]
pub(super) enum Tended {
    One(Breaker),
    /// Those of all targets with policies, and what else their policies need.
    All(Lines),
}

/// The policies of a node as a child of a group.
#[derive(Debug)]
pub(crate) struct Policed(pub(crate) Lines);

impl Tended {
    pub(super) fn breakers(&self) -> Vec<Breaker> {
        match self {
            Self::One(breaker) => vec![breaker.clone()],
            Self::All(lines) => lines.breakers(),
        }
    }

    pub(super) fn changes(&self) -> Changes {
        match self {
            Self::One(breaker) => breaker.changes(),
            Self::All(lines) => lines.changes(),
        }
    }

    pub(super) const fn lines(&self) -> Option<&Lines> {
        match self {
            Self::One(_) => None,
            Self::All(lines) => Some(lines),
        }
    }

    fn child(self, name: &'static str) -> Child {
        let open = move |birth: Birth| {
            let tended = self.clone();
            async move { Desk::open(tended, birth).await }
        };
        Actor::born(name, open, Desk::look)
            .on_stop(Desk::close)
            .into()
    }
}

impl From<Breaker> for Child {
    fn from(breaker: Breaker) -> Self {
        let name = breaker.name();
        Tended::One(breaker).child(name)
    }
}

impl From<Policed> for Child {
    fn from(policed: Policed) -> Self {
        Tended::All(policed.0).child("breakers")
    }
}
