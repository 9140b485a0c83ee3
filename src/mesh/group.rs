use super::{Mesh, beacon::Beacon, ear::Ear, health::Health, routes::Desk, services::Services};
use crate::supervision::Group;

/// The name of the group that every node hosts; no other may have it.
pub(crate) const NAME: &str = "mesh";
/// The name of the group that tends a node's policies.
pub(crate) const POLICIES: &str = "policies";
/// The names of the runtime's own groups.
pub(crate) const RESERVED: [&str; 2] = [NAME, POLICIES];

/// Describes the node's own group.
pub(crate) fn group(mesh: &Mesh) -> Group {
    Group::new(NAME)
        .child(Ear::actor(mesh))
        .child(Desk::actor(mesh))
        .child(Beacon::actor(mesh))
        .child(Health::actor(mesh))
        .child(Services::actor(mesh))
}
