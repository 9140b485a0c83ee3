//! What a node says of itself, from its description to its part of the mesh.

use super::NodeError;
use crate::{
    breaker::Policed,
    call::Settings,
    limit::Watched,
    mesh::{self, Mesh, NAME, Own, Pace},
    message::codec::{self, EncodeError},
    roster::MAX_CARD,
    route::{RouteError, RouteTable},
    supervision::{About, Group, GroupError, Live, Says},
    version,
};
use std::sync::Arc;

/// How many bytes its groups may say of themselves: what they do meanwhile, and why
/// they are sick, must fit into the card beside it.
const SAID: usize = MAX_CARD / 4 * 3;
/// How many bytes the name of a region may have.
const LONGEST_REGION: usize = 128;

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
        if !is_region(&self.region) {
            return Err(NodeError::Region { region: self.region });
        }
        if let Some(table) = &self.routes {
            table.check()?;
            version::check_start(table.version).map_err(RouteError::from)?;
        }
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

/// Refuses a group that has the name of one of the runtime's own.
pub(super) fn refuse_reserved(groups: &[Group]) -> Result<(), GroupError> {
    let is_reserved = |group: &&Group| group.name() == NAME;
    match groups.iter().find(is_reserved) {
        Some(group) => Err(GroupError::Reserved { name: group.name().to_owned() }),
        None => Ok(()),
    }
}

/// Refuses groups that say more of themselves than a card can hold.
pub(super) fn refuse_much(groups: &[Group]) -> Result<(), GroupError> {
    let said: Vec<_> = groups
        .iter()
        .map(|group| (said(group), group.name()))
        .collect();
    let total: usize = said.iter().map(|(bytes, _)| bytes).sum();
    match said.into_iter().max() {
        Some((bytes, name)) if total > SAID => {
            let (path, limit) = (name.to_owned(), SAID);
            Err(GroupError::SaysTooMuch { path, bytes, limit })
        }
        _ => Ok(()),
    }
}

/// Returns how many bytes of a card a group takes before it has done anything.
fn said(group: &Group) -> usize {
    let (about, says) = (group.about(), group.says());
    let table = (&says.answers, &says.hears, &says.repeats, &says.schemas);
    let all = (
        group.name(),
        &about.tags,
        &about.metadata,
        &about.depends_on,
        table,
    );
    match codec::encode(&all) {
        Ok(written) => written.len(),
        Err(EncodeError::TooLarge { bytes }) => bytes,
        Err(EncodeError::Serialize { .. }) => 0,
    }
}

/// Whether a region can be told and be asked for at a shell.
fn is_region(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    text.len() <= LONGEST_REGION && text.bytes().all(fits)
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
    Some(Mesh::new(place, ways, own, settings.clock))
}
