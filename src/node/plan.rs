use super::{NodeError, Past};
use crate::bus::Presence;
use std::fmt;

/// What a node's groups need of the bus, compared with what is there.
///
/// Displayed, it is a table with a line for each stream and each reader, and a
/// summary.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "it says what is missing"]
pub struct Plan {
    pub(super) items: Vec<PlanItem>,
}

/// A stream, or the consumers of one reader.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PlanItem {
    /// What it is: `stream`, or `consumers` of a stream's partitions.
    pub kind: &'static str,
    /// Its name; several consumers differ in their number only.
    pub name: String,
    /// What is there of it.
    pub found: Presence,
    /// Whether it was made just now.
    pub made: bool,
    /// Whether whoever needs it first makes it, unless nodes may not: streams of
    /// snapshots and of what wakes sagas.
    pub on_demand: bool,
    /// What becomes of the events that are there already, if it is a listener that
    /// is new.
    pub past: Option<Past>,
}

impl Plan {
    /// Returns everything that is needed, streams first.
    pub fn items(&self) -> &[PlanItem] {
        &self.items
    }

    /// Returns whether nothing differs, and nothing is missing that a node would
    /// not make when it needs it.
    pub fn is_settled(&self) -> bool {
        self.items.iter().all(PlanItem::is_settled)
    }

    /// Refuses a bus on which something is missing or differs.
    pub(super) fn complete(&self) -> Result<(), NodeError> {
        let there = |item: &PlanItem| item.made || item.found == Presence::Same;
        let open: Vec<_> = self.items.iter().filter(|item| !there(item)).collect();
        if open.is_empty() {
            return Ok(());
        }
        let open = open.iter().map(ToString::to_string).collect::<Vec<_>>();
        Err(NodeError::Undeclared { missing: open.join("; ") })
    }

    fn count(&self, like: impl Fn(&PlanItem) -> bool) -> usize {
        self.items.iter().filter(|item| like(item)).count()
    }
}

impl PlanItem {
    fn is_settled(&self) -> bool {
        self.made || self.found == Presence::Same || self.waits()
    }

    fn waits(&self) -> bool {
        self.on_demand && self.found == Presence::Missing
    }

    fn sign(&self) -> char {
        match self.found {
            _ if self.made => '*',
            _ if self.waits() => '~',
            Presence::Missing => '+',
            Presence::Same => '=',
            Presence::Differs { .. } => '!',
        }
    }
}

impl fmt::Display for PlanItem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, name, found, made, .. } = self;
        write!(f, "{} {kind:<9} {name}", self.sign())?;
        match found {
            _ if *made => f.write_str(": made"),
            _ if self.waits() => f.write_str(": made when it is first needed"),
            Presence::Missing => f.write_str(": missing"),
            Presence::Same => Ok(()),
            Presence::Differs { difference } => write!(f, ": {difference}"),
        }?;
        self.past
            .as_ref()
            .map_or(Ok(()), |past| write!(f, "; {past}"))
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for item in &self.items {
            writeln!(f, "{item}")?;
        }
        let there = self.count(|item| item.found == Presence::Same);
        let made = self.count(|item| item.made);
        let missing = self.count(|item| !item.is_settled() && item.found == Presence::Missing);
        let differ = self.count(|item| matches!(item.found, Presence::Differs { .. }));
        write!(
            f,
            "{there} there, {made} made, {missing} missing, {differ} different"
        )?;
        if differ > 0 {
            f.write_str("; what is different is never changed here: its server's tools can")?;
        }
        Ok(())
    }
}
