//! Tables that all nodes of a namespace go by: where they are set, got and told.

use crate::{
    bus::Message,
    message::{Headers, Namespace, headers::CB_DEADLINE},
    time::{Clock, unix_ms},
};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What the routing table is called in subjects.
pub(crate) const ROUTES: &str = "routes";
/// What the table of policies is called in subjects.
pub(crate) const POLICIES: &str = "policies";

/// What one who sets a table is told, with a refusal too: the version that is there.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Taken {
    pub(crate) version: u64,
}

/// A table that one node passes to the one that is to set it for all.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Passed<T> {
    /// The version in whose place it comes: no other.
    pub(crate) made_from: u64,
    pub(crate) table: T,
}

/// Where an operator has one node set a table for all.
pub(crate) fn set(namespace: &Namespace, table: &str) -> String {
    namespace.system(&format!("operator.{table}.set"))
}

/// Where one node is passed a table that it is to set for all.
pub(crate) fn setter(namespace: &Namespace, table: &str, instance: &str) -> String {
    namespace.system(&format!("node.{table}.setter.{instance}"))
}

/// Where one node hands out its table.
pub(crate) fn get(namespace: &Namespace, table: &str) -> String {
    namespace.system(&format!("ask.{table}.table"))
}

/// Where each node says whether it goes by a table.
pub(crate) fn holds(namespace: &Namespace, table: &str) -> String {
    namespace.system(&format!("ask.{table}.holds"))
}

/// Where a node tells all others a table.
pub(crate) fn told(namespace: &Namespace, table: &str) -> String {
    namespace.system(&format!("node.{table}.table"))
}

/// Describes an order to set a table, which is void once whoever gave it waits no longer.
pub(crate) fn order(to: String, payload: Bytes, (clock, within): (Clock, Duration)) -> Message {
    let mut headers = Headers::with_capacity(1);
    let until = clock.now() + within;
    headers.put(CB_DEADLINE, unix_ms(until).to_string());
    Message::new(to, payload).headers(headers)
}

/// Whether who gave an order still waits; a plain client need not say until when.
pub(crate) fn is_awaited(order: &Headers, clock: Clock) -> bool {
    let until = order.get(CB_DEADLINE).and_then(|ms| ms.parse().ok());
    until.is_none_or(|until: u64| clock.unix_ms() < until)
}
