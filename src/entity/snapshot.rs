use super::{
    commands::{Commands, Kept},
    life::Life,
};
use crate::message::codec;
use bytes::Bytes;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// How an entity's snapshots are laid out; others are passed over.
const FORMAT: u32 = 1;

/// When snapshots are taken, and how a state becomes bytes and back.
pub(super) struct Snapshots<S> {
    pub(super) every: u64,
    write: fn(&S) -> Result<Bytes, codec::EncodeError>,
    read: fn(&[u8]) -> Result<S, codec::DecodeError>,
}

#[derive(Serialize, Deserialize)]
struct Snapshot {
    format: u32,
    version: u32,
    sequence: u64,
    events: u64,
    commands: Vec<Kept>,
    state: Bytes,
}

impl<S: Serialize + DeserializeOwned + 'static> Snapshots<S> {
    pub(super) fn every(events: u64) -> Self {
        Self { every: events.max(1), write: codec::encode, read: codec::decode }
    }
}

impl<S: 'static> Snapshots<S> {
    /// Whether it is time for one.
    pub(super) const fn are_due(&self, life: &Life<S>) -> bool {
        life.tail() >= self.every
    }

    pub(super) fn write(&self, life: &Life<S>, version: u32) -> Result<Bytes, codec::EncodeError> {
        codec::encode(&Snapshot {
            format: FORMAT,
            version,
            sequence: life.last,
            events: life.events,
            commands: life.commands.keep(),
            state: (self.write)(&life.state)?,
        })
    }

    /// Returns the entity as it was; the reason if this snapshot is of no use.
    pub(super) fn read(&self, payload: &[u8], wanted: u32) -> Result<Life<S>, String> {
        let snapshot: Snapshot = codec::decode(payload).map_err(|error| error.to_string())?;
        let Snapshot { format, version, sequence, events, commands, state } = snapshot;
        if (format, version) != (FORMAT, wanted) {
            return Err(format!(
                "it is of version {version} in layout {format}, not {wanted} in {FORMAT}"
            ));
        }
        Ok(Life {
            state: (self.read)(&state).map_err(|error| error.to_string())?,
            last: sequence,
            events,
            snapped: events,
            commands: Commands::restored(commands).ok_or("holds a malformed id")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Id;

    #[test]
    fn a_snapshot_is_read_as_it_was_written_by_its_own_version_only() {
        let snapshots = Snapshots::<Vec<u32>>::every(2);
        let mut life = Life::new(vec![1, 2]);
        let command = Id::new();
        life.advance(2, 9, &command);
        assert!(snapshots.are_due(&life));
        let written = snapshots.write(&life, 1).unwrap_or_default();
        let read = snapshots.read(&written, 1);
        let found = read.as_ref().map(|life| {
            (
                life.state.clone(),
                life.last,
                life.tail(),
                life.committed(&command),
            )
        });
        assert_eq!(found, Ok((vec![1, 2], 9, 0, Some(9))));
        assert!(snapshots.read(&written, 2).is_err());
        assert!(Snapshots::<String>::every(2).read(&written, 1).is_err());
        assert!(snapshots.read(b"what", 1).is_err());
    }
}
