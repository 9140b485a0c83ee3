use crate::{
    call::{Call, CallAll, Cause, Client, Job, JobError, Place, Publish, Receipt, TellError},
    message::{Command, Envelope, Event, Id, Request},
};
use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};
use tokio::time::Instant;

/// What a handler knows of the message at hand, and its way to everyone else.
///
/// What is published and called through a context carries the message's
/// correlation, names it as the cause, and gets an id derived from it: if the
/// message is handled twice, the same ids come out, and streams keep one of each.
pub struct Context {
    client: Client,
    cause: Cause,
    source: Source,
    leave: AtomicBool,
    /// Whether the message outlives the turn, in a context of its own.
    taken: AtomicBool,
}

/// Where the message came from.
pub(super) enum Source {
    Command {
        caller: Arc<str>,
        reply: Option<String>,
        /// Its place among what the node has in hand, if it came over the bus.
        place: Option<Place>,
    },
    /// A command that waited in a stream; where its outcome is awaited goes to
    /// whoever ends it.
    Job {
        caller: Arc<str>,
        due: Option<SystemTime>,
        receipt: Mutex<Option<Receipt>>,
    },
    /// An event of a stream; where its outcome is awaited goes to whoever ends it.
    Event {
        envelope: Box<Envelope>,
        receipt: Mutex<Option<Receipt>>,
    },
    /// Nobody sent it; a timer's token lives as long as the message.
    Own(#[expect(dead_code, reason = "held, not read")] Option<Arc<()>>),
}

impl Context {
    pub(super) const fn new(client: Client, cause: Cause, source: Source) -> Self {
        Self {
            client,
            cause,
            source,
            leave: AtomicBool::new(false),
            taken: AtomicBool::new(false),
        }
    }

    /// Publishes an event; await the result to know that it is stored.
    pub fn publish<E: Event>(&self, event: E) -> Publish<'_, E> {
        Publish::new(&self.client, event, Some(&self.cause))
    }

    /// Sends a command and awaits its reply, no longer than the message at
    /// hand may take.
    pub fn call<C: Command>(&self, command: C) -> Call<'_, C> {
        Call::new(&self.client, command, Some(&self.cause))
    }

    /// Calls many commands, several at a time, under one deadline, and no longer
    /// than the message at hand may take.
    pub fn call_all<C: Command>(&self, commands: impl IntoIterator<Item = C>) -> CallAll<'_, C> {
        CallAll::new(&self.client, commands, Some(&self.cause))
    }

    /// Sends a command as a job, which is done at least once; await the result
    /// to know that it is stored.
    pub fn send<C: Command>(&self, command: C) -> Job<'_, C> {
        Job::new(&self.client, command, Some(&self.cause))
    }

    /// Sends a command as a job that is due at a time.
    pub fn send_at<C: Command>(&self, command: C, time: SystemTime) -> Job<'_, C> {
        self.send(command).at(time)
    }

    /// Sends a command as a job that is due so long from now, by this process's clock.
    pub fn send_in<C: Command>(&self, command: C, wait: Duration) -> Job<'_, C> {
        self.send(command).after(wait)
    }

    /// Takes back the job of a command that waits under a
    /// [name](Job::named); returns whether there was one. If not, one whose sending
    /// ended with [`JobError::Unknown`] may still arrive: see [`named`](Job::named).
    ///
    /// # Errors
    ///
    /// Returns [`JobError`] if the bus cannot take it back, or does not confirm.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future may or may not take it back; doing it again is harmless.
    pub async fn cancel<C: Command>(&self, key: &str, name: &str) -> Result<bool, JobError> {
        self.client.cancel::<C>(key, name).await
    }

    /// Sends a command and awaits nothing: at most once, no answer.
    ///
    /// It goes to the group in this process, else to any node that answers: neither
    /// policies nor routes apply.
    ///
    /// # Errors
    ///
    /// Returns [`TellError`] if the command could not be handed over.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future may or may not send.
    pub async fn tell<C: Command>(&self, command: C) -> Result<(), TellError> {
        self.client.tell_because(command, Some(&self.cause)).await
    }

    /// Returns the message's id.
    pub const fn id(&self) -> &Id {
        &self.cause.id
    }

    /// Returns the id that the whole story shares.
    pub const fn correlation(&self) -> &Id {
        &self.cause.correlation
    }

    /// Returns which attempt at this message this is, from 1. Of a job only the attempts
    /// on this node count: after a fail-over it is 1 again. Of an event earlier
    /// deliveries count too, also those that only waited.
    pub const fn attempt(&self) -> u32 {
        self.cause.attempt
    }

    /// Returns the domain that sent the command, or nothing if it is unknown.
    pub fn caller(&self) -> Option<&str> {
        match &self.source {
            Source::Command { caller, .. } | Source::Job { caller, .. } if !caller.is_empty() => {
                Some(caller)
            }
            _ => None,
        }
    }

    /// Returns the event with all its metadata, or nothing for a command or a timer.
    pub fn envelope(&self) -> Option<&Envelope> {
        match &self.source {
            Source::Event { envelope, .. } => Some(envelope),
            _ => None,
        }
    }

    /// Returns when the job at hand was due, or nothing if it did not wait for a time.
    ///
    /// It may be done later, much later if nothing ran when it was due.
    pub fn due(&self) -> Option<SystemTime> {
        match &self.source {
            Source::Job { due, .. } => *due,
            _ => None,
        }
    }

    /// Returns how long the caller still waits, or nothing if nobody does.
    pub fn remaining(&self) -> Option<Duration> {
        self.cause
            .deadline
            .map(|deadline| deadline.duration_since(Instant::now()))
    }

    /// Returns the time of day, virtual in a replay.
    pub fn now(&self) -> SystemTime {
        self.client.clock().now()
    }

    /// Ends this actor after the message at hand, as a normal exit.
    ///
    /// A permanent actor is started again, a transient or temporary one is not.
    pub fn stop(&self) {
        self.leave.store(true, Ordering::Relaxed);
    }

    /// Returns the client below, for code that is not about this message.
    pub const fn client(&self) -> &Client {
        &self.client
    }

    /// Returns whether the message at hand is a job.
    pub(super) const fn is_job(&self) -> bool {
        matches!(self.source, Source::Job { .. })
    }

    /// Takes out where the outcome of a job or an event is awaited.
    pub(super) fn receipt(&self) -> Option<Receipt> {
        let (Source::Job { receipt, .. } | Source::Event { receipt, .. }) = &self.source else {
            return None;
        };
        receipt
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    /// Whether the reader of an event may not have it handled any more.
    pub(super) fn is_lapsed(&self, now: Instant) -> bool {
        let Source::Event { receipt, .. } = &self.source else {
            return false;
        };
        let receipt = receipt.lock().unwrap_or_else(PoisonError::into_inner);
        receipt
            .as_ref()
            .is_some_and(|receipt| receipt.is_lapsed(now))
    }

    /// Returns a context of the same message that outlives the turn; a job and an
    /// event end with it.
    pub(super) fn detached(&self) -> Self {
        self.taken.store(true, Ordering::Relaxed);
        let source = match &self.source {
            Source::Command { caller, reply, place } => Source::Command {
                caller: Arc::clone(caller),
                reply: reply.clone(),
                place: place.clone(),
            },
            Source::Job { caller, due, .. } => Source::Job {
                caller: Arc::clone(caller),
                due: *due,
                receipt: Mutex::new(self.receipt()),
            },
            Source::Event { envelope, .. } => {
                Source::Event { envelope: envelope.clone(), receipt: Mutex::new(self.receipt()) }
            }
            Source::Own(_) => Source::Own(None),
        };
        Self::new(self.client.clone(), self.cause.again(), source)
    }

    /// Returns the actor's path in the tree.
    pub(crate) fn path(&self) -> &str {
        &self.cause.by
    }

    /// Returns what follows from the message at hand is to know of it.
    pub(crate) const fn cause(&self) -> &Cause {
        &self.cause
    }

    /// Returns the span in which a handler runs, so that its log lines tell
    /// what they are about. It stands in no other: what is worked on beside the
    /// mailbox would be told twice.
    pub(super) fn span(&self, subject: &'static str) -> tracing::Span {
        tracing::info_span!(
            parent: None,
            "handle",
            child = &*self.cause.by,
            subject,
            id = %self.cause.id,
            correlation = %self.cause.correlation,
        )
    }

    pub(super) fn is_taken(&self) -> bool {
        self.taken.load(Ordering::Relaxed)
    }

    pub(super) fn leaves(&self) -> bool {
        self.leave.load(Ordering::Relaxed)
    }

    /// Whether the sender of the command may send it again under its id.
    pub(crate) const fn is_named(&self) -> bool {
        self.cause.named
    }

    /// Returns where the reply of a command from the bus is awaited.
    pub(super) fn reply(&self) -> Option<&str> {
        match &self.source {
            Source::Command { reply, .. } => reply.as_deref(),
            _ => None,
        }
    }
}

/// Turns what came with a command into what follows from it.
pub(super) fn cause_of(
    request: Request,
    by: Arc<str>,
    deadline: Option<Instant>,
) -> (Cause, Arc<str>) {
    let mut cause = Cause::new(request.id, request.correlation, by);
    cause.trace = request.trace;
    cause.attempt = request.attempt;
    cause.named = request.named;
    cause.deadline = deadline;
    (cause, request.caller)
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("cause", &self.cause)
            .finish_non_exhaustive()
    }
}
