//! What a node says of itself, from its description to its part of the mesh.

use super::NodeError;
use crate::{
    breaker::Policed,
    call::Settings,
    limit::Watched,
    mesh::{self, Mesh, NAME, Own, Pace},
    route::RouteTable,
    supervision::{About, Group, GroupError, Live, Says},
};
use std::sync::Arc;

/// What a node's description says of where and what it is.
#[derive(Clone, Debug)]
pub(super) struct Presence {
    pub(super) region: String,
    pub(super) version: String,
    pub(super) pace: Pace,
    pub(super) routes: Option<RouteTable>,
}

impl Default for Presence {
    fn default() -> Self {
        Self {
            region: String::new(),
            version: "0.0.0".to_owned(),
            pace: Pace::default(),
            routes: None,
        }
    }
}

impl Presence {
    pub(super) fn checked(self) -> Result<Self, NodeError> {
        if semver::Version::parse(&self.version).is_err() {
            return Err(NodeError::Version { version: self.version });
        }
        self.routes.as_ref().map_or(Ok(()), RouteTable::check)?;
        Ok(self)
    }
}

/// What is known of a group before it is planted.
#[derive(Debug)]
pub(super) struct Facts {
    name: String,
    said: (About, Says),
}

impl Facts {
    pub(super) fn of(group: &Group) -> Self {
        Self { name: group.name().to_owned(), said: (group.about(), group.says()) }
    }
}

/// Refuses a group that has the name of the node's own.
pub(super) fn refuse_own_name(groups: &[Group]) -> Result<(), GroupError> {
    match groups.iter().find(|group| group.name() == NAME) {
        Some(group) => Err(GroupError::NameTaken { path: group.name().to_owned() }),
        None => Ok(()),
    }
}

/// Describes the node's own group: its part of the mesh, what tends its policies
/// and what tells of its limits. A replay has its policies in it, if it has any.
pub(super) fn own_group(settings: &Settings, mesh: Option<&Mesh>) -> Group {
    let lines = &settings.ways.lines;
    let policed = Policed(lines.clone());
    let Some(mesh) = mesh else {
        let group = Group::new(NAME);
        return if lines.any() {
            group.child(policed)
        } else {
            group
        };
    };
    let watched = Watched { load: settings.load.clone(), lines: lines.clone() };
    mesh::group(mesh).child(policed).child(watched)
}

/// Makes the node's part of the mesh, with its groups that grow already; a
/// replay has none, where time passes as it likes.
pub(super) fn mesh(
    settings: &Settings,
    presence: &Presence,
    groups: Vec<Facts>,
    live: &[Arc<Live>],
) -> Option<Mesh> {
    if settings.record.is_some() {
        return None;
    }
    if let Some(table) = presence.routes.clone()
        && let Err(error) = settings.ways.routes.start(table)
    {
        tracing::warn!(%error, "the routing table of the description is not used");
    }
    let version = semver::Version::parse(&presence.version).expect("it was checked");
    let groups = groups.into_iter().zip(live);
    let own = groups
        .map(|(facts, live)| Own::new(facts.name, facts.said, Arc::clone(live), &version))
        .collect();
    let place = (
        settings.bus.clone(),
        settings.namespace.clone(),
        Arc::clone(&settings.node),
    );
    let ways = (settings.ways.clone(), presence.pace);
    Some(Mesh::new(place, ways, own, settings.clock.now()))
}
