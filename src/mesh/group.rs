use super::{
    Mesh, beacon::Beacon, ear::Ear, ejected::Teller, health::Health, routes::Desk,
    services::Services,
};
use crate::{policy::Policies, route::RouteTable, supervision::Group};

/// The name of the group that every node hosts; no other may have it.
pub(crate) const NAME: &str = "mesh";

/// Describes the node's own group.
pub(crate) fn group(mesh: &Mesh) -> Group {
    Group::new(NAME)
        .child(Ear::actor(mesh))
        .child(Desk::<RouteTable>::actor(mesh))
        .child(Desk::<Policies>::actor(mesh))
        .child(Teller::actor(mesh))
        .child(Beacon::actor(mesh))
        .child(Health::actor(mesh))
        .child(Services::actor(mesh))
}
