use super::{
    Envelope, EnvelopeError, HeaderError, Headers, Id, Key, KeyError, Origin,
    codec::{self, DecodeError, EncodeError},
};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// What happened to a parked key, or to a dead letter that is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// An event used its attempts up; its key waits.
    Parked,
    /// The operator asks for another try.
    Retried,
    /// The operator gives the event up and lets those behind it go on.
    Skipped,
    /// The operator asks for another try with another payload.
    Amended,
    /// A reader handles what waits, and is this far.
    Draining,
    /// Nothing waits any more.
    Released,
    /// The operator asks for a dead letter to be handled again.
    Redriven,
}

const ACTS: [(Act, &str); 7] = [
    (Act::Parked, "callboard.parked"),
    (Act::Retried, "callboard.retried"),
    (Act::Skipped, "callboard.skipped"),
    (Act::Amended, "callboard.amended"),
    (Act::Draining, "callboard.draining"),
    (Act::Released, "callboard.released"),
    (Act::Redriven, "callboard.redriven"),
];

/// More events than a message can have.
const MAX_INDEX: u32 = 1 << 24;

impl Act {
    /// Returns the type of the event that tells of it.
    pub(crate) fn kind(self) -> &'static str {
        let known = ACTS.iter().find(|(act, _)| *act == self);
        known.map_or("", |(_, kind)| kind)
    }

    fn of(kind: &str) -> Option<Self> {
        let known = ACTS.iter().find(|(_, known)| *known == kind);
        known.map(|(act, _)| *act)
    }
}

/// All that is known of a parked key; every act tells the whole of it, so that
/// the last one is its state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Park {
    /// The path of the actor that could not go on.
    pub(crate) child: String,
    pub(crate) domain: String,
    /// The key as a subject token.
    pub(crate) key: String,
    /// The first event that waits, or waited, by its sequence.
    pub(crate) from: u64,
    /// The event to go on with; the last one that was handled once it is released.
    pub(crate) sequence: u64,
    /// Its place in its message.
    pub(crate) index: u32,
    /// Its type.
    pub(crate) kind: String,
    /// Why it was given up.
    pub(crate) reason: String,
    /// How often it was tried.
    pub(crate) attempts: u32,
    /// When it was given up, in Unix milliseconds.
    pub(crate) since: u64,
    /// Who did this.
    #[serde(default)]
    pub(crate) by: String,
    /// Why the operator did it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) note: Option<String>,
    /// What the operator put in the place of the event's payload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) amended: Option<Bytes>,
}

impl Park {
    /// Writes it as a CloudEvents message.
    pub(crate) fn write(
        &self,
        act: Act,
        source: String,
        id: Id,
    ) -> Result<(Headers, Bytes), ParkError> {
        let key = Key::from_token(&self.key)?;
        let payload = codec::encode(self)?;
        let envelope = Envelope {
            correlation: id.clone(),
            id,
            kind: act.kind().to_owned(),
            version: 1,
            source,
            subject: key.decode(),
            key,
            time: None,
            causation: None,
            trace: None,
            payload: payload.clone(),
        };
        Ok((envelope.headers()?, payload))
    }

    /// Reads it back.
    pub(crate) fn read(
        headers: &Headers,
        origin: Origin<'_>,
        payload: Bytes,
    ) -> Result<(Act, Self), ParkError> {
        let envelope = Envelope::read(headers, origin, payload)?;
        let Some(act) = Act::of(&envelope.kind) else {
            return Err(ParkError::Kind { kind: envelope.kind });
        };
        let park: Self = codec::decode(&envelope.payload)?;
        if park.fits(origin.subject) {
            Ok((act, park))
        } else {
            let subject = origin.subject.to_owned();
            Err(ParkError::Misplaced { subject })
        }
    }

    /// Whether it is about what its subject names: anybody may publish there.
    fn fits(&self, subject: &str) -> bool {
        let mut tokens = subject.split('.').skip(2);
        let (Some(kind), Some(child), Some(domain), Some(_), Some(last), None) = (
            tokens.next(),
            tokens.next(),
            tokens.next(),
            tokens.next(),
            tokens.next(),
            tokens.next(),
        ) else {
            return false;
        };
        let names_it = match kind {
            "key" => last == self.key,
            _ => last.parse::<u64>().is_ok(),
        };
        names_it
            && Key::from_token(&self.key).is_ok()
            && child == self.child.replace('/', "_")
            && domain == self.domain
            && self.from <= self.sequence
            && self.sequence < u64::MAX
            && self.index < MAX_INDEX
    }

    /// Returns where to go on after what the operator or a reader did: at which
    /// message, at which of its events, and with which payload instead of its own.
    pub(crate) fn position(&self, act: Act) -> (u64, u32, Option<Bytes>) {
        match act {
            Act::Skipped => (self.sequence, self.index.saturating_add(1), None),
            _ => (self.sequence, self.index, self.amended.clone()),
        }
    }
}

/// Why the record of a parked key cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ParkError {
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error("the record of a parked key {0}")]
    Encode(#[from] EncodeError),
    #[error("the record of a parked key {0}")]
    Decode(#[from] DecodeError),
    #[error(transparent)]
    Header(#[from] HeaderError),
    #[error("the record of a parked key {0}")]
    Envelope(#[from] EnvelopeError),
    #[error("`{kind}` says nothing of a parked key")]
    Kind { kind: String },
    #[error("the record is not about what its subject `{subject}` names")]
    Misplaced { subject: String },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn park() -> Park {
        Park {
            child: "shop/desk".into(),
            domain: "orders".into(),
            key: "o=201".into(),
            from: 3,
            sequence: 4,
            index: 1,
            kind: "orders.placed".into(),
            reason: "no paper".into(),
            attempts: 5,
            since: 1,
            by: "n-1".into(),
            note: None,
            amended: Some(b"\x01"[..].into()),
        }
    }

    #[test]
    fn a_record_reads_back_as_it_was_written() {
        for (act, kind) in ACTS {
            let (headers, payload) = park().write(act, "/shop/cli/op".into(), Id::new()).unwrap();
            assert_eq!(headers.get("ce-type"), Some(kind));
            let origin = Origin {
                stream: "shop_PARK",
                sequence: 1,
                subject: "shop.park.key.shop_desk.orders.0.o=201",
                time: std::time::SystemTime::UNIX_EPOCH,
            };
            let read = Park::read(&headers, origin, payload).unwrap();
            assert_eq!(read, (act, park()));
        }
    }

    #[test]
    fn a_record_is_read_under_its_own_subject_only() {
        let misplaced = |subject: &str, park: Park| {
            let (headers, payload) = park.write(Act::Parked, "/x".into(), Id::new()).unwrap();
            let time = std::time::SystemTime::UNIX_EPOCH;
            let origin = Origin { stream: "shop_PARK", sequence: 1, subject, time };
            let read = Park::read(&headers, origin, payload);
            matches!(read, Err(ParkError::Misplaced { .. }))
        };
        assert!(misplaced("shop.park.key.shop_desk.orders.0.o=202", park()));
        assert!(misplaced("shop.park.key.shop_desk.carts.0.o=201", park()));
        let own = "shop.park.key.shop_desk.orders.0.o=201";
        assert!(!misplaced(own, park()));
        let far = Park { index: u32::MAX, ..park() };
        assert!(misplaced(own, far));
        let late = Park { from: 5, ..park() };
        assert!(misplaced(own, late));
    }

    #[test]
    fn only_a_skip_leaves_the_event_out() {
        let amended = park().amended;
        assert_eq!(park().position(Act::Skipped), (4, 2, None));
        for act in [Act::Retried, Act::Amended, Act::Draining] {
            assert_eq!(park().position(act), (4, 1, amended.clone()));
        }
    }
}
