use super::{Place, by_type::ByType};
use crate::message::{Command, Envelope, Request, Status, Subject};
use bytes::Bytes;
use dashmap::DashMap;
use std::{
    any::{Any, TypeId},
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};
use tokio::{sync::mpsc, time::Instant};

/// One message on its way into an actor.
#[derive(Debug)]
pub(crate) struct Parcel {
    /// The place of its handler in the actor's table.
    pub(crate) route: usize,
    pub(crate) work: Work,
    /// When nobody waits for it any more.
    pub(crate) deadline: Option<Instant>,
}

/// What is in a parcel, and how its outcome travels back.
#[derive(Debug)]
pub(crate) enum Work {
    /// A command of this process: a [`LocalCall`](super::local::LocalCall).
    Local(Box<dyn Enclosed>),
    /// A command from the bus.
    Remote(Box<Arrived>),
    /// An event, and where its reader awaits the outcome.
    Event(Box<Envelope>, Receipt),
    /// A command that waited in a stream.
    Job(Box<Errand>),
    /// A timer of the actor's own; it keeps the token until it is handled.
    Tick(Arc<()>),
}

/// A call within this process, its type erased.
pub(crate) trait Enclosed: Any + Send {
    /// Takes out what came beside the command, once.
    fn request(&mut self) -> Option<Request>;
}

impl fmt::Debug for dyn Enclosed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Enclosed").finish_non_exhaustive()
    }
}

/// A command from the bus.
#[derive(Debug)]
pub(crate) struct Arrived {
    pub(crate) request: Request,
    pub(crate) content: Content,
    /// Keeps it counted as in hand.
    pub(crate) place: Place,
    /// The subject of its reply.
    pub(crate) reply: Option<String>,
}

/// A command that was sent as a job, and where its reader awaits the outcome.
#[derive(Debug)]
pub(crate) struct Errand {
    pub(crate) request: Request,
    /// When it was due, if it waited for a time.
    pub(crate) due: Option<SystemTime>,
    pub(crate) content: Content,
    pub(crate) receipt: Receipt,
}

/// The payload of a command from the bus, decoded only if its key had to be known.
#[derive(Debug)]
pub(crate) enum Content {
    Encoded(Bytes),
    Decoded(Box<dyn Any + Send>),
}

/// Tells a reader how one of its events ended.
#[derive(Debug)]
pub(crate) struct Receipt {
    pub(crate) slot: usize,
    pub(crate) attempt: u32,
    /// Since when what follows from the message may be there already, if that is
    /// to be looked up; see [`Cause`](super::Cause).
    pub(crate) since: Option<SystemTime>,
    pub(crate) ended: Option<mpsc::UnboundedSender<(usize, Ended)>>,
    /// Whether its reader may still have it handled; nothing if it always may.
    pub(crate) pulse: Option<Pulse>,
}

/// A reader's last sign of life; cheap to clone.
///
/// When it is older than the ack wait allows, what the reader handed out may
/// have come again elsewhere, and is not to be handled here any more: the
/// process was paused, and the streams may have forgotten the ids meanwhile.
#[derive(Clone, Debug)]
pub(crate) struct Pulse(Arc<Beats>);

#[derive(Debug)]
struct Beats {
    first: Instant,
    lapse: Duration,
    /// Milliseconds from the first to the last one.
    last: AtomicU64,
}

impl Pulse {
    /// Begins now; `lapse` is how long it may be silent.
    pub(crate) fn new(lapse: Duration) -> Self {
        Self(Arc::new(Beats {
            first: Instant::now(),
            lapse,
            last: AtomicU64::new(0),
        }))
    }

    /// Notes a sign of life.
    pub(crate) fn beat(&self, now: Instant) {
        let passed = now.duration_since(self.0.first).as_millis();
        let passed = u64::try_from(passed).unwrap_or(u64::MAX);
        self.0.last.store(passed, Ordering::Relaxed);
    }

    pub(crate) fn is_lapsed(&self, now: Instant) -> bool {
        let last = Duration::from_millis(self.0.last.load(Ordering::Relaxed));
        now.duration_since(self.0.first) >= last + self.0.lapse
    }
}

impl Receipt {
    pub(crate) fn new(
        slot: usize,
        attempt: u32,
        ended: &mpsc::UnboundedSender<(usize, Ended)>,
        pulse: Option<&Pulse>,
    ) -> Self {
        Self {
            slot,
            attempt,
            since: None,
            ended: Some(ended.clone()),
            pulse: pulse.cloned(),
        }
    }

    /// Has what follows from the message looked up before it is stored.
    pub(crate) const fn again(mut self, since: Option<SystemTime>) -> Self {
        self.since = since;
        self
    }

    /// Whether its reader may have lost the message to another.
    pub(crate) fn is_lapsed(&self, now: Instant) -> bool {
        self.pulse
            .as_ref()
            .is_some_and(|pulse| pulse.is_lapsed(now))
    }

    pub(crate) fn settle(mut self, how: Ended) {
        if let Some(ended) = self.ended.take() {
            // A reader that is gone has handed its events back already.
            ended.send((self.slot, how)).ok();
        }
    }
}

/// An event that is dropped unhandled goes back to its reader.
impl Drop for Receipt {
    fn drop(&mut self) {
        if let Some(ended) = self.ended.take() {
            ended.send((self.slot, Ended::Unhandled)).ok();
        }
    }
}

/// How the handling of one message ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// It is done, also if the domain said no.
    Done,
    /// The handler failed and the actor goes on.
    Failed(crate::error::Failure),
    /// The handler failed and the actor must be rebuilt.
    Crashed(String),
    /// No handler saw it.
    Unhandled,
}

/// Why an actor does not take a parcel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotTaken {
    #[error("its mailbox is full with {limit} messages; try again later")]
    Full { limit: usize },
    #[error("it is stopping")]
    Stopped,
}

impl NotTaken {
    /// What a caller on the bus is told of it.
    pub(crate) const STATUS: Status = Status::Unavailable;
}

/// Where the commands of one subject are taken in this process.
pub(crate) struct Door {
    /// The command's name; nothing for what no caller knows.
    pub(crate) subject: Option<Subject>,
    /// The Rust type of the command behind the subject.
    pub(crate) command: TypeId,
    pub(crate) offer: Offer,
}

/// Takes a parcel for a key. An empty key is nobody's in particular; without one
/// it is found in the parcel.
pub(crate) type Offer = Box<dyn Fn(Parcel, Option<&str>) -> Result<(), NotTaken> + Send + Sync>;

impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Door").finish_non_exhaustive()
    }
}

/// All commands that are answered in this process.
#[derive(Clone, Debug, Default)]
pub(crate) struct Doors(Arc<Known>);

#[derive(Debug, Default)]
struct Known {
    /// By `domain.name`.
    names: DashMap<&'static str, Arc<Door>>,
    types: ByType<Arc<Door>>,
}

impl Doors {
    /// Opens a door; returns false if the subject has one.
    pub(crate) fn open(&self, subject: &'static str, door: Door) -> bool {
        match self.0.names.entry(subject) {
            dashmap::Entry::Occupied(_) => false,
            dashmap::Entry::Vacant(place) => {
                let door = Arc::new(door);
                self.0.types.insert(door.command, Arc::clone(&door));
                place.insert(door);
                true
            }
        }
    }

    /// Returns the door of a subject, whatever type its command has here.
    pub(crate) fn get(&self, subject: &str) -> Option<Arc<Door>> {
        self.0.names.get(subject).map(|door| Arc::clone(&door))
    }

    /// Returns the door of a command.
    pub(super) fn of<C: Command>(&self) -> Option<Arc<Door>> {
        let door = self.0.types.get(&TypeId::of::<C>())?;
        Some(Arc::clone(&door))
    }
}

#[cfg(test)]
mod tests {
    use super::Pulse;
    use std::time::Duration;
    use tokio::time::Instant;

    #[test]
    fn a_pulse_lapses_when_it_was_silent_for_so_long() {
        let (lapse, start) = (Duration::from_secs(25), Instant::now());
        let pulse = Pulse::new(lapse);
        assert!(!pulse.is_lapsed(start + lapse / 2));
        pulse.beat(start + lapse / 2);
        assert!(!pulse.is_lapsed(start + lapse));
        assert!(pulse.is_lapsed(start + lapse * 2));
    }
}
