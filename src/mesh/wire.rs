//! What nodes say to one another, and where.

use crate::{
    message::{Namespace, known},
    policy::Policies,
    roster::Card,
    route::RouteTable,
};
use serde::{Deserialize, Deserializer, Serialize, de::DeserializeOwned};

/// The queue of those who answer one who starts: one of them does.
pub(super) const QUEUE: &str = "roster";

/// Asks a node for the cards that it knows.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Question {
    /// The last instance that is known from an answer before.
    #[serde(default)]
    pub(super) after: String,
}

/// A part of what a node knows.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Page {
    /// Who answers.
    pub(super) by: String,
    pub(super) cards: Vec<Aged>,
    /// Whether there are more.
    pub(super) more: bool,
    /// The routing table, on the first page.
    #[serde(
        default,
        deserialize_with = "understood",
        skip_serializing_if = "Option::is_none"
    )]
    pub(super) routes: Option<RouteTable>,
    /// The table of policies, likewise.
    #[serde(
        default,
        deserialize_with = "understood",
        skip_serializing_if = "Option::is_none"
    )]
    pub(super) policies: Option<Policies>,
}

/// Reads a table, or nothing of one that this version cannot read: who is there is to be
/// heard all the same.
fn understood<'de, D, T>(from: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned,
{
    let Some(said) = Option::<serde_json::Value>::deserialize(from)? else {
        return Ok(None);
    };
    let read = known::read(said);
    Ok(read
        .inspect_err(|error| tracing::warn!(%error, "a table cannot be read"))
        .ok())
}

/// A card, and how long ago its node was heard of: clocks of nodes may differ.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Aged {
    pub(super) card: Card,
    pub(super) age_ms: u64,
    /// By how much its clock is ahead of that of who answers, if that is much.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) off_ms: Option<i64>,
}

/// What a node that listens to all has heard.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Digest {
    pub(super) by: String,
    /// Of the routing table that it goes by.
    pub(super) routes: u64,
    pub(super) print: u64,
    /// Of the table of policies.
    #[serde(default)]
    pub(super) policies: (u64, u64),
    /// What time it is by its clock, in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) clock_ms: Option<u64>,
    pub(super) seen: Vec<Lives>,
}

/// A node that lives, and how long ago it said so.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Lives {
    pub(super) instance: String,
    pub(super) revision: u64,
    pub(super) age_ms: u64,
    /// By how much its clock is ahead of that of who tells, if that is much.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) off_ms: Option<i64>,
}

/// The word of a node that leaves.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Leave {
    pub(super) instance: String,
}

pub(super) fn beat(namespace: &Namespace) -> String {
    namespace.system("node.presence.beat")
}

pub(super) fn digest(namespace: &Namespace) -> String {
    namespace.system("node.presence.digest")
}

pub(super) fn card(namespace: &Namespace) -> String {
    namespace.system("node.presence.news.card")
}

pub(super) fn leave(namespace: &Namespace) -> String {
    namespace.system("node.presence.news.leave")
}

pub(super) fn news(namespace: &Namespace) -> String {
    namespace.system("node.presence.news.*")
}

pub(super) fn ask(namespace: &Namespace) -> String {
    namespace.system("ask.presence")
}

/// Where one node is asked to show its card, or to go on answering.
pub(super) fn to(namespace: &Namespace, instance: &str, what: &str) -> String {
    namespace.system(&format!("ask.presence.{instance}.{what}"))
}

/// Where all nodes are asked whom they leave out.
pub(super) fn ejected(namespace: &Namespace) -> String {
    namespace.system("ask.routes.ejected")
}

/// Whether an instance can be a token of subjects: one that cannot could not be called.
pub(super) fn can_name(instance: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'.' | b'*' | b'>');
    (1..=LONGEST_NAME).contains(&instance.len()) && instance.bytes().all(fits)
}

/// How many bytes the name of an instance may have.
const LONGEST_NAME: usize = 512;

/// Whether the last token of a subject is this one.
pub(super) fn is(subject: &str, what: &str) -> bool {
    subject.rsplit('.').next() == Some(what)
}
