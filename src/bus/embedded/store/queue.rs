use super::{
    super::{kept::Kept, log::Outcome},
    Broken, lock,
};
use crate::bus::{Expect, Message};
use std::{
    mem,
    sync::{Arc, Condvar, Mutex, PoisonError},
    time::Instant,
};
use tokio::sync::{Semaphore, oneshot};

/// How much may wait to be written, in KiB.
const ROOM: u32 = 16 * 1024;

/// What waits for the writer: bounded by the size of what is to be written.
#[derive(Debug)]
pub(super) struct Queue {
    work: Mutex<Work>,
    wake: Condvar,
    room: Semaphore,
}

/// What the writer finds to do.
#[derive(Debug, Default)]
pub(super) struct Work {
    pub(super) jobs: Vec<Job>,
    pub(super) waiters: Vec<Waiter>,
    /// The streams whose consumers moved.
    pub(super) moved: Vec<Arc<Kept>>,
    /// Whether the writer is to look at the time anew.
    pub(super) roused: bool,
    /// Whether nothing more is taken in.
    pub(super) closed: bool,
}

/// Something to do to a stream.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) kept: Arc<Kept>,
    pub(super) stream: u32,
    pub(super) act: Act,
    pub(super) room: u32,
}

#[derive(Debug)]
pub(super) enum Act {
    /// Appends a message and says how that ended.
    Append {
        message: Message,
        expect: Expect,
        done: oneshot::Sender<Result<Outcome, Broken>>,
    },
    /// Takes back what is scheduled on a subject.
    Cancel {
        subject: String,
        done: oneshot::Sender<Result<bool, Broken>>,
    },
    /// Deletes one message.
    Delete {
        sequence: u64,
        done: oneshot::Sender<Result<bool, Broken>>,
    },
}

impl Act {
    /// Says that it was not done.
    pub(super) fn refuse(self, outcome: Result<Outcome, Broken>) {
        match self {
            Self::Append { done, .. } => drop(done.send(outcome)),
            Self::Cancel { done, .. } | Self::Delete { done, .. } => {
                let no_room = || Broken("the disk is full".into());
                let refused = outcome.map_or_else(|broken| broken, |_| no_room());
                drop(done.send(Err(refused)));
            }
        }
    }
}

/// Somebody who waits until what was there before is as durable as it must be.
#[derive(Debug)]
pub(super) struct Waiter {
    pub(super) done: oneshot::Sender<Result<(), Broken>>,
    pub(super) needs: Needs,
}

/// What must be durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::bus::embedded) enum Needs {
    /// The places of consumers.
    Places,
    /// Everything, and synced whatever the durability is.
    Sync,
}

impl Queue {
    pub(super) fn new() -> Self {
        Self {
            work: Mutex::default(),
            wake: Condvar::new(),
            room: Semaphore::new(ROOM as usize),
        }
    }

    /// Waits for room to append so many bytes; nothing if the writer is gone.
    pub(super) async fn room(&self, bytes: usize) -> Option<u32> {
        let room = u32::try_from(bytes / 1024 + 1).unwrap_or(ROOM).min(ROOM);
        self.room.acquire_many(room).await.ok()?.forget();
        Some(room)
    }

    pub(super) fn give_back(&self, room: u32) {
        self.room.add_permits(room as usize);
    }

    /// Changes what is to be done and tells the writer. Once that is gone, who
    /// would wait is let go at once.
    pub(super) fn add(&self, change: impl FnOnce(&mut Work)) {
        let mut work = lock(&self.work);
        if work.closed {
            return;
        }
        // A writer that was woken for earlier work finds this beside it.
        let woken = !work.is_empty();
        change(&mut work);
        drop(work);
        if !woken {
            self.wake.notify_one();
        }
    }

    /// Takes all there is to do, once there is something or it is time.
    pub(super) fn take(&self, until: Option<Instant>) -> Work {
        let mut work = lock(&self.work);
        while work.is_empty() {
            let Some(until) = until else {
                work = self.wake.wait(work).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let woken = self.wake.wait_timeout(work, left);
            work = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
        let closed = work.closed;
        let taken = mem::replace(&mut *work, Work { closed, ..Work::default() });
        drop(work);
        taken
    }

    /// Lets nobody wait any more.
    pub(super) fn end(&self) {
        self.room.close();
        let closed = Work { closed: true, ..Work::default() };
        let left = mem::replace(&mut *lock(&self.work), closed);
        self.wake.notify_one();
        drop(left);
    }
}

impl Work {
    fn is_empty(&self) -> bool {
        self.jobs.is_empty()
            && self.waiters.is_empty()
            && self.moved.is_empty()
            && !self.roused
            && !self.closed
    }
}
