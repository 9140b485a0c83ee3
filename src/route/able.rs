use super::{
    Routes,
    live::{Way, weight},
    pick::Candidates,
};
use crate::roster::Instance;
use semver::VersionReq;
use std::sync::Arc;

/// The instances that a route may choose.
pub(super) struct Able<'a> {
    pub(super) instances: &'a [&'a Instance],
    pub(super) routes: &'a Routes,
    pub(super) here: &'a str,
    pub(super) region: &'a str,
}

impl Candidates for Able<'_> {
    fn count(&self) -> usize {
        self.instances.len()
    }

    fn id(&self, place: usize) -> &str {
        self.instances[place].id()
    }

    fn weight(&self, place: usize) -> u32 {
        weight(self.instances[place])
    }

    fn load(&self, place: usize) -> usize {
        self.routes.load_of(self.id(place))
    }

    fn is_here(&self, place: usize) -> bool {
        self.id(place) == self.here
    }

    fn is_near(&self, place: usize) -> bool {
        self.instances[place].region() == self.region
    }
}

/// Who could have got a command.
pub(super) struct Peers {
    pub(super) service: Arc<[Instance]>,
    pub(super) command: Box<str>,
    pub(super) range: Option<Arc<VersionReq>>,
}

impl Peers {
    pub(super) fn of(&self, way: &Way) -> impl Iterator<Item = &str> {
        let is_in = |it: &Instance| {
            let range = self.range.as_deref();
            range.is_none_or(|range| range.matches(&it.service().version))
        };
        let able = self.service.iter();
        able.filter(move |it| way.may(it, &self.command) && is_in(it))
            .map(Instance::id)
    }
}
