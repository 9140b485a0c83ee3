use super::{
    commands::{Commands, Kept, Refusals},
    life::{Life, Place, Progress},
};
use crate::message::codec;
use bytes::Bytes;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::rc::Rc;

/// How a snapshot is laid out that is one message; others are passed over.
const WHOLE: u32 = 1;

/// How a snapshot is laid out whose state stands in other messages.
const IN_PARTS: u32 = 2;

/// How many bytes of a state stand beside all else in one message.
const ROOM: usize = 96 * 1024;

/// The largest part of a state, in bytes.
pub(super) const PART: usize = codec::MAX_PAYLOAD;

/// How many parts a state may have: 16 MiB in all.
const PARTS: usize = 64;

/// When snapshots are taken, and how a state becomes bytes and back.
pub(super) struct Snapshots<S> {
    pub(super) every: u64,
    write: fn(&S) -> Result<Bytes, codec::EncodeError>,
    read: fn(&[u8]) -> Result<S, codec::DecodeError>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct Snapshot {
    format: u32,
    version: u32,
    sequence: u64,
    events: u64,
    commands: Vec<Kept>,
    state: Bytes,
    /// When those commands were committed.
    #[serde(default)]
    times: Vec<u32>,
    /// The sequence of the oldest command that was remembered.
    #[serde(default)]
    oldest: u64,
    #[serde(default)]
    refusals: Vec<(Bytes, Bytes)>,
    /// What tells its last message from another of its sequence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mark: Option<Bytes>,
    /// Messages that the state was built without.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    skipped: Vec<u64>,
    /// Where the state stands, if it is not here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    parts: Option<Parts>,
}

/// Where the parts of a state stand.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Parts {
    /// How the ids of their messages begin.
    pub(super) id: String,
    pub(super) slot: u32,
    pub(super) count: u32,
}

/// A snapshot as it is to be stored: its parts, then the message that names them.
pub(super) struct Written {
    pub(super) head: Bytes,
    pub(super) parts: Option<Parts>,
    pub(super) state: Bytes,
}

/// What was read of a snapshot beside its state.
pub(super) struct Read {
    /// The oldest command to remember, if that is not all here.
    pub(super) oldest: u64,
    pub(super) parts: Option<Parts>,
    snapshot: Snapshot,
}

impl<S: Serialize + DeserializeOwned + 'static> Snapshots<S> {
    pub(super) fn every(events: u64) -> Self {
        Self {
            every: events.max(1),
            write: codec::encode_large,
            read: codec::decode_large,
        }
    }
}

impl<S: 'static> Snapshots<S> {
    /// Whether it is time for one.
    pub(super) fn are_due(&self, life: &Life<S>) -> bool {
        life.tail() >= self.every
    }

    /// Writes an entity down; `id` names the parts of a large one.
    pub(super) fn write(
        &self,
        life: &Life<S>,
        version: u32,
        id: String,
    ) -> Result<Written, String> {
        let state = (self.write)(&life.state).map_err(|error| format!("its state {error}"))?;
        if state.len() > PART * PARTS {
            return Err(format!(
                "its state takes {} bytes; a snapshot has {PARTS} parts of {PART}: split the entity",
                state.len()
            ));
        }
        let count = state.len().div_ceil(PART);
        let parts = (state.len() > ROOM).then(|| Parts {
            id,
            slot: 1 - life.snapshots.slot.get().min(1),
            count: u32::try_from(count).unwrap_or(u32::MAX),
        });
        let (commands, times) = life.commands.keep();
        let head = Snapshot {
            format: if parts.is_some() { IN_PARTS } else { WHOLE },
            version,
            sequence: life.last.sequence,
            events: life.events,
            commands,
            state: if parts.is_some() {
                Bytes::new()
            } else {
                state.clone()
            },
            times,
            oldest: life.commands.oldest().unwrap_or_default(),
            refusals: life.refusals.keep(),
            mark: Some(Bytes::copy_from_slice(&life.last.mark.to_be_bytes())),
            skipped: life.skipped.clone(),
            parts: parts.clone(),
        };
        let head = codec::encode(&head).map_err(|error| format!("it {error}"))?;
        Ok(Written { head, parts, state })
    }

    /// Reads a snapshot up to its state; the reason if it is of no use.
    pub(super) fn read(payload: &[u8], wanted: u32) -> Result<Read, String> {
        let snapshot: Snapshot = codec::decode(payload).map_err(|error| error.to_string())?;
        let Snapshot { format, version, oldest, .. } = snapshot;
        if !matches!(format, WHOLE | IN_PARTS) || version != wanted {
            return Err(format!(
                "it is of version {version} in layout {format}, not {wanted} in {WHOLE} or {IN_PARTS}"
            ));
        }
        if format == IN_PARTS && snapshot.parts.is_none() {
            return Err("it does not say where its state stands".to_owned());
        }
        Ok(Read { oldest, parts: snapshot.parts.clone(), snapshot })
    }

    /// Returns the entity as it was, with a state that stood elsewhere; the reason
    /// if this snapshot is of no use.
    pub(super) fn revive(&self, read: Read, elsewhere: Option<&[u8]>) -> Result<Life<S>, String> {
        let Snapshot { sequence, events, commands, times, refusals, mark, skipped, state, .. } =
            read.snapshot;
        let state = elsewhere.unwrap_or(&state);
        let malformed = || "holds a malformed id".to_owned();
        let progress = Progress::default();
        progress.done(events);
        progress.grows_to(state.len());
        progress.slot.set(read.parts.map_or(0, |parts| parts.slot));
        let mark = mark.map(|mark| <[u8; 16]>::try_from(&*mark));
        let mark = mark.transpose().map_err(|_| malformed())?;
        Ok(Life {
            state: (self.read)(state).map_err(|error| error.to_string())?,
            // Earlier versions kept no mark: any message of that sequence will do.
            last: Place { sequence, mark: mark.map(u128::from_be_bytes).unwrap_or_default() },
            events,
            commands: Commands::restored(commands, &times).ok_or_else(malformed)?,
            refusals: Refusals::restored(refusals).ok_or_else(malformed)?,
            snapshots: Rc::new(progress),
            connection: 0,
            skipped,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{entity::life::Noted, message::Id};

    fn life() -> (Life<Vec<u32>>, u128) {
        let (mut life, command) = (Life::new(vec![1, 2]), Id::new().mark());
        let place = Place { sequence: 9, mark: 77 };
        life.advance(2, Noted { place, at: 5 }, command);
        life.refusals.note(4, Bytes::from_static(b"no"));
        (life, command)
    }

    #[test]
    fn a_snapshot_is_read_as_it_was_written_by_its_own_version_only() {
        let snapshots = Snapshots::<Vec<u32>>::every(2);
        let (life, command) = life();
        assert!(snapshots.are_due(&life));
        let written = snapshots
            .write(&life, 1, String::new())
            .expect("it is small")
            .head;
        let read = Snapshots::<Vec<u32>>::read(&written, 1).expect("its own version");
        let found = snapshots.revive(read, None).map(|life| {
            (
                life.state.clone(),
                life.last,
                life.tail(),
                life.commands.committed(command),
                life.refusals.said(4).cloned(),
            )
        });
        let place = Place { sequence: 9, mark: 77 };
        let refused = Some(Bytes::from_static(b"no"));
        assert_eq!(found, Ok((vec![1, 2], place, 0, Some(9), refused)));
        assert!(Snapshots::<Vec<u32>>::read(&written, 2).is_err());
        let other = Snapshots::<String>::read(&written, 1).expect("the state comes later");
        assert!(Snapshots::<String>::every(2).revive(other, None).is_err());
        assert!(Snapshots::<Vec<u32>>::read(b"what", 1).is_err());
    }

    #[test]
    fn a_snapshot_of_before_marks_and_times_is_read() {
        #[derive(Serialize)]
        struct Old {
            format: u32,
            version: u32,
            sequence: u64,
            events: u64,
            commands: Vec<Kept>,
            state: Bytes,
        }
        let state = codec::encode(&vec![3_u32]).expect("it is small");
        let (format, version, commands) = (1, 1, Vec::new());
        let old = Old { format, version, sequence: 4, events: 2, commands, state };
        let old = codec::encode(&old).expect("it is small");
        let read = Snapshots::<Vec<u32>>::read(&old, 1).expect("the old layout");
        let life = Snapshots::<Vec<u32>>::every(1).revive(read, None);
        let found = life.map(|life| (life.state.clone(), life.last));
        assert_eq!(found, Ok((vec![3], Place { sequence: 4, mark: 0 })));
    }
}
