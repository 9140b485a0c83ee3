//! Tables that all nodes of a namespace go by: where they are set, got and told.

use crate::message::Namespace;
use serde::{Deserialize, Serialize};

/// What the routing table is called in subjects.
pub(crate) const ROUTES: &str = "routes";
/// What the table of policies is called in subjects.
pub(crate) const POLICIES: &str = "policies";

/// What one who sets a table is told.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Taken {
    pub(crate) version: u64,
}

/// Where one node takes a table for all.
pub(crate) fn set(namespace: &Namespace, table: &str) -> String {
    namespace.system(&format!("{table}.set"))
}

/// Where one node is passed a table that it is to set for all.
pub(crate) fn setter(namespace: &Namespace, table: &str, instance: &str) -> String {
    namespace.system(&format!("{table}.setter.{instance}"))
}

/// Where one node hands out its table.
pub(crate) fn get(namespace: &Namespace, table: &str) -> String {
    namespace.system(&format!("{table}.get"))
}

/// Where a table is told to all; each says whether it goes by it, if that is asked.
pub(crate) fn told(namespace: &Namespace, table: &str) -> String {
    namespace.system(&format!("{table}.table"))
}
