//! Events that this program does not know and a newer one of its group does.

use super::reading::Reading;
use crate::roster::{Instance, Query};
use std::{collections::HashMap, sync::Arc, time::Duration};
use tokio::time::Instant;

/// For how long it is known what the programs of other nodes hear.
const KNOWN: Duration = Duration::from_secs(2);

/// What the same group hears on other nodes, and not on this one.
#[derive(Debug, Default)]
pub(super) struct Strangers {
    /// The types that it hears there, each with the newest version that it reads.
    hears: HashMap<String, u32>,
    until: Option<Instant>,
    /// Why the partition is left to them.
    pub(super) leave: Option<String>,
}

impl Strangers {
    /// Whether there is a program elsewhere that hears what this one does not.
    pub(super) fn any(&self) -> bool {
        !self.hears.is_empty()
    }
}

impl Reading<'_> {
    /// Finds out, now and then, what the same group hears elsewhere and not here.
    pub(super) fn meet_strangers(&mut self) {
        let now = Instant::now();
        if self.strangers.until.is_some_and(|until| now < until) {
            return;
        }
        self.strangers.until = Some(now + KNOWN);
        self.strangers.hears.clear();
        let client = &self.reaction.client;
        let group = self.reaction.path.split('/').next().unwrap_or_default();
        let all = client.roster().find(&Query::of(group).any_status());
        let here = client.ways().instance.clone();
        let Some(own) = all.iter().find(|instance| *instance.id() == *here) else {
            return;
        };
        let own = own.service();
        let others = all.iter().filter(|instance| instance.is_healthy());
        for service in others.map(Instance::service) {
            for kind in &service.hears {
                let version = service.reads(kind).unwrap_or(1);
                let known = own.hears.contains(kind)
                    && own.reads(kind).is_none_or(|newest| version <= newest);
                if !known {
                    let newest = self.strangers.hears.entry(kind.clone()).or_default();
                    *newest = version.max(*newest);
                }
            }
        }
    }

    /// Whether an event that this program cannot handle is known to a program
    /// elsewhere; then the partition is left to that.
    pub(super) fn leave_to_stranger(&mut self, slot: usize, kind: &str, version: u32) -> bool {
        let held = self.lanes.get_mut(slot);
        if held.is_none_or(|held| held.delivery().is_none()) {
            return false;
        }
        self.meet_strangers();
        let newest = self.strangers.hears.get(kind);
        let known = newest.is_some_and(|newest| *newest >= version);
        if known {
            let reason =
                format!("a newer program of its group knows `{kind}` of version {version}");
            self.strangers.leave = Some(reason);
        }
        known
    }

    /// As [`leave_to_stranger`](Self::leave_to_stranger), of an event that failed.
    pub(super) fn knows_stranger(&mut self, slot: usize) -> bool {
        let stream = Arc::clone(&self.stream);
        let Some(held) = self.lanes.get_mut(slot) else {
            return false;
        };
        let Ok(Some(event)) = held.event(&stream) else {
            return false;
        };
        self.leave_to_stranger(slot, &event.kind, event.version)
    }
}
