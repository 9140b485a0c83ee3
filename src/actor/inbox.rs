use crate::{
    call::{NotTaken, Parcel},
    telemetry::OVERLOADED_TOTAL,
};
use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
};
use tokio::sync::Notify;

/// What reaches a cell through its mailbox.
pub(crate) enum Mail {
    Parcel(Parcel),
    /// Look at the control channel.
    Wake,
    /// Leave the mailbox.
    End,
}

impl actix::Message for Mail {
    type Result = ();
}

/// Counts what is in a cell and tells it to look up from its mailbox.
///
/// actix does not bound its mailboxes (`send` and `do_send` both exceed the
/// capacity), so the bound is kept here.
#[derive(Debug)]
pub(crate) struct Gauge {
    path: Arc<str>,
    limit: usize,
    depth: AtomicUsize,
    /// How many of them have left the mailbox and are still worked on.
    stays: AtomicUsize,
    closed: AtomicBool,
    interrupted: AtomicBool,
    pub(super) kill: Notify,
}

impl Gauge {
    pub(super) fn new(path: Arc<str>, limit: usize) -> Self {
        Self {
            path,
            limit,
            depth: AtomicUsize::new(0),
            stays: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
            interrupted: AtomicBool::new(true),
            kill: Notify::new(),
        }
    }

    pub(super) fn interrupted(&self) -> bool {
        self.interrupted.load(SeqCst)
    }

    pub(super) fn set_interrupted(&self, interrupted: bool) {
        self.interrupted.store(interrupted, SeqCst);
    }

    /// Counts a message out; returns whether the mailbox holds another.
    pub(super) fn handled(&self) -> bool {
        let left = self.depth.fetch_sub(1, SeqCst) - 1;
        left > self.stays.load(SeqCst)
    }
}

impl Gauge {
    /// Counts a message that stays in the cell's care after its turn.
    pub(super) fn stay(self: &Arc<Self>) -> Stay {
        self.depth.fetch_add(1, SeqCst);
        self.stays.fetch_add(1, SeqCst);
        Stay(Arc::clone(self))
    }
}

/// A message that is still worked on after its turn: it takes up room, and the
/// node does not stop before it ends.
#[derive(Debug)]
pub(super) struct Stay(Arc<Gauge>);

impl Drop for Stay {
    fn drop(&mut self) {
        self.0.stays.fetch_sub(1, SeqCst);
        self.0.handled();
    }
}

/// The way into a cell, bounded.
#[derive(Clone)]
pub(crate) struct Inbox {
    gauge: Arc<Gauge>,
    address: actix::Recipient<Mail>,
}

impl Inbox {
    pub(super) const fn new(gauge: Arc<Gauge>, address: actix::Recipient<Mail>) -> Self {
        Self { gauge, address }
    }

    /// Puts a parcel into the mailbox unless that is full.
    pub(crate) fn offer(&self, parcel: Parcel) -> Result<(), NotTaken> {
        let limit = self.gauge.limit;
        if self.gauge.depth.fetch_add(1, SeqCst) >= limit {
            self.gauge.handled();
            metrics::counter!(OVERLOADED_TOTAL, "child" => self.gauge.path.to_string())
                .increment(1);
            return Err(NotTaken::Full { limit });
        }
        self.put(parcel)
    }

    /// Puts a parcel into the mailbox although that may be full: for whoever
    /// keeps a bound of its own.
    pub(crate) fn push(&self, parcel: Parcel) -> Result<(), NotTaken> {
        self.gauge.depth.fetch_add(1, SeqCst);
        self.put(parcel)
    }

    fn put(&self, parcel: Parcel) -> Result<(), NotTaken> {
        if self.gauge.closed.load(SeqCst) || !self.address.connected() {
            self.gauge.handled();
            return Err(NotTaken::Stopped);
        }
        self.address.do_send(Mail::Parcel(parcel));
        Ok(())
    }

    /// Returns how many messages wait or are being handled.
    pub(crate) fn depth(&self) -> usize {
        self.gauge.depth.load(SeqCst)
    }

    /// Takes nothing more until it is opened again.
    pub(crate) fn close(&self) {
        self.gauge.closed.store(true, SeqCst);
    }

    /// Takes messages again.
    pub(crate) fn open(&self) {
        self.gauge.closed.store(false, SeqCst);
    }

    /// Returns whether it takes nothing, or nobody is there to take it.
    pub(crate) fn is_closed(&self) -> bool {
        self.gauge.closed.load(SeqCst) || !self.address.connected()
    }

    /// Makes the cell look at its control channel after the message at hand.
    pub(crate) fn interrupt(&self) {
        self.gauge.set_interrupted(true);
        self.address.do_send(Mail::Wake);
    }

    /// Ends the cell once everything taken so far is handled or refused.
    pub(crate) fn end(&self) {
        self.address.do_send(Mail::End);
    }

    /// Cuts the message at hand off, and its actor with it.
    pub(crate) fn kill(&self) {
        self.gauge.kill.notify_one();
    }
}

impl fmt::Debug for Inbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Inbox").field(&self.gauge).finish()
    }
}

/// Returns the instance for a key: the same for every message of the key.
pub(crate) fn instance(key: &str, count: usize) -> usize {
    let count = u32::try_from(count).unwrap_or(u32::MAX);
    crate::bus::partition(key, count) as usize
}
