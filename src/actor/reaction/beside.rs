//! What a reader does beside its loop, so that it never waits for a stream.

use super::{held::End, reading::Reading, redriven::Letter, takeover::Look};
use crate::{
    actor::failover::Suspects,
    bus::{ReadError, Reader, Stored, Stream},
    call::{ParkRecord, ParkingError},
    message::Park,
};
use futures_util::future::BoxFuture;
use std::sync::Arc;
use tokio::time::Instant;

/// Something that is done beside the loop, within bounds of its own.
pub(super) type Deed = BoxFuture<'static, Told>;

/// How a record of a reader's ended: its place.
pub(super) type Signed = Result<u64, ParkingError>;

/// What became of a deed.
pub(super) enum Told {
    /// Whether the server noted the sign of life that was given at this time.
    Renewed(Instant, bool),
    /// What the records say.
    Records(Result<crate::call::Batch, String>),
    /// Whether this reader is the one of the partition.
    Ours(Result<bool, ()>),
    /// Up to where all is settled.
    Floor(Option<u64>),
    /// A dead letter was written, in this stream.
    Buried {
        slot: usize,
        end: End,
        written: Result<Stream, String>,
    },
    /// A key was parked.
    Parked {
        slot: usize,
        park: Box<Park>,
        is_new: bool,
        signed: Signed,
    },
    /// The events of a key that fails wait in the stream from now on.
    SetAside {
        slot: usize,
        park: Box<Park>,
        signed: Signed,
    },
    /// A key was claimed.
    Claimed { key: Arc<str>, claimed: Claimed },
    /// It was noted how far a key is.
    Saved {
        key: Arc<str>,
        number: u64,
        at: Instant,
        signed: Signed,
    },
    /// It was noted that a key goes on.
    Released {
        key: Arc<str>,
        number: u64,
        park: Box<Park>,
        signed: Signed,
    },
    /// The next event of a key was read.
    Read {
        key: Arc<str>,
        number: u64,
        reader: Option<Reader>,
        read: Result<Option<Stored>, ReadError>,
    },
    /// A dead letter was claimed, and its event read.
    Letter {
        number: u64,
        letter: Letter,
        claimed: Claimed,
        read: Result<Option<Stored>, ReadError>,
    },
    /// It was noted that a dead letter is still at hand.
    LetterKept {
        number: u64,
        at: Instant,
        signed: Signed,
    },
    /// It was noted how a dead letter ended.
    LetterClosed { number: u64, signed: Signed },
    /// What is known of a partition that is taken over.
    TakenOver(u64, Box<Look>),
    /// What may be held elsewhere.
    Suspects(u64, Suspects),
    /// How far a partition is that was taken over.
    Cleared(Box<Look>),
}

/// What became of a claim.
pub(super) enum Claimed {
    /// It is this reader's, by a record at a place.
    Mine(u64, Box<Park>),
    /// Something else was recorded meanwhile.
    Not(Box<ParkRecord>),
    /// It could not be found out.
    Failed(String),
}

impl Reading<'_> {
    pub(super) fn beside(&mut self, deed: impl Future<Output = Told> + Send + 'static) {
        self.deeds.push(Box::pin(deed));
    }

    /// Takes in what became of something that was done beside the loop.
    pub(super) async fn hear(&mut self, told: Told) {
        let next = match told {
            Told::Buried { slot, end, written } => self.buried(slot, end, written).await,
            Told::Parked { slot, park, is_new, signed } => {
                self.parking -= usize::from(is_new);
                self.parked(slot, *park, signed).await
            }
            Told::SetAside { slot, park, signed } => self.set_aside(slot, *park, signed).await,
            Told::Read { key, number, reader, read } => self.has_read(&key, number, reader, read),
            Told::Letter { number, letter, claimed, read } => {
                self.letter_claimed(number, &letter, claimed, read)
            }
            told => {
                self.hear_of_records(told).await;
                None
            }
        };
        self.advance(next).await;
    }

    async fn hear_of_records(&mut self, told: Told) {
        match told {
            Told::Renewed(at, noted) => self.renewed(at, noted),
            Told::Records(read) => self.refreshed(read),
            Told::Ours(ours) => self.begin_if(ours),
            Told::Floor(floor) => self.register.prune(floor.unwrap_or(0)),
            Told::Claimed { key, claimed } => self.claimed(&key, claimed),
            Told::Saved { key, number, at, signed } => self.saved(&key, number, at, signed),
            Told::Released { key, number, park, signed } => {
                self.released(&key, number, &park, signed);
            }
            Told::LetterKept { number, at, signed } => self.letter_kept(number, at, &signed),
            Told::LetterClosed { number, signed } => self.letter_closed(number, signed),
            Told::TakenOver(number, look) => self.taken_over(number, *look).await,
            Told::Suspects(number, suspects) => self.suspect(number, suspects).await,
            Told::Cleared(look) => self.cleared(*look).await,
            Told::Buried { .. }
            | Told::Parked { .. }
            | Told::SetAside { .. }
            | Told::Read { .. }
            | Told::Letter { .. } => {}
        }
    }
}
