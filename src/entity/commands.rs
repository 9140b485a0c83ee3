use crate::message::Id;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use uuid::Uuid;

/// How many commands an entity remembers.
pub(super) const REMEMBERED: usize = 1_000;

/// The last commands that changed an entity, and where each did, oldest first.
///
/// Without an index: going through a thousand takes about a microsecond, an
/// index as much memory again, and most entities have seen few.
#[derive(Debug, Default)]
pub(super) struct Commands(VecDeque<(Id, u64)>);

/// A remembered command as a snapshot keeps it: its id, and its sequence.
pub(super) type Kept = (KeptId, u64);

#[derive(Debug, Serialize, Deserialize)]
pub(super) enum KeptId {
    #[serde(rename = "u")]
    Uuid(Bytes),
    #[serde(rename = "t")]
    Text(String),
}

impl Commands {
    /// Returns the sequence at which a command was committed, if it was.
    pub(super) fn committed(&self, command: &Id) -> Option<u64> {
        let mut known = self.0.iter().filter(|(id, _)| id == command);
        known.next().map(|(_, sequence)| *sequence)
    }

    /// Notes that a command was committed, and forgets the oldest beyond the limit.
    pub(super) fn note(&mut self, command: Id, sequence: u64) {
        // The events of one commit follow each other.
        if self.0.back().is_some_and(|(last, _)| *last == command) {
            return;
        }
        self.0.push_back((command, sequence));
        if self.0.len() > REMEMBERED {
            self.0.pop_front();
        }
    }

    pub(super) fn keep(&self) -> Vec<Kept> {
        let all = self.0.iter();
        all.map(|(id, sequence)| (KeptId::from(id), *sequence))
            .collect()
    }

    pub(super) fn restored(kept: Vec<Kept>) -> Option<Self> {
        let mut commands = Self::default();
        for (id, sequence) in kept {
            commands.note(id.id()?, sequence);
        }
        Some(commands)
    }
}

impl From<&Id> for KeptId {
    fn from(id: &Id) -> Self {
        match id.as_uuid() {
            Some(uuid) => Self::Uuid(Bytes::copy_from_slice(uuid.as_bytes())),
            None => Self::Text(id.to_string()),
        }
    }
}

impl KeptId {
    fn id(&self) -> Option<Id> {
        match self {
            Self::Uuid(bytes) => Uuid::from_slice(bytes).ok().map(Id::from),
            Self::Text(text) => Some(Id::from(text.as_str())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_thousand_commands_are_known_and_survive_being_kept() {
        let mut commands = Commands::default();
        let ids: Vec<_> = (0..REMEMBERED + 2)
            .map(|n| {
                if n % 2 == 0 {
                    Id::new()
                } else {
                    Id::from(format!("order {n}").as_str())
                }
            })
            .collect();
        for (id, sequence) in ids.iter().zip(1..) {
            commands.note(id.clone(), sequence);
        }
        let again = Commands::restored(commands.keep()).unwrap_or_default();
        for known in [&commands, &again] {
            assert_eq!(known.committed(&ids[1]), None);
            assert_eq!(known.committed(&ids[2]), Some(3));
            assert_eq!(
                known.committed(&ids[REMEMBERED + 1]),
                Some(REMEMBERED as u64 + 2)
            );
        }
    }
}
