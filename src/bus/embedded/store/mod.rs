//! Streams in a database on disk, and the thread that writes it.
//!
//! One `SQLite` file in write-ahead mode holds the messages of all streams, the
//! ids that are remembered, what is scheduled, and where consumers stand. One
//! thread writes it: what waits at the same time becomes one transaction, and
//! nothing is answered or shown before that is committed. Readers have
//! connections of their own and see what is committed.
//!
//! A [`Disk`] writes and reads; a [`Keeper`] is its life: the thread ends when
//! the last one is dropped. What is decided about a message is decided in the
//! transaction that stores it; who is given it is not decided here.

mod change;
mod database;
mod declared;
mod entry;
mod held;
mod migration;
mod old;
mod queue;
mod read;
mod recover;
mod upkeep;
mod wal;
mod writer;

pub(super) use change::Head;
pub(super) use queue::Needs;
pub(super) use recover::{Place, open};
pub use upkeep::{StoreCheck, StoreStats, StoredConsumer, StoredStream};

use super::{kept::Kept, lock, log::Outcome};
use crate::{
    bus::{ConsumerConfig, Durability, Expect, Message, Store, StreamConfig},
    time::Clock,
};
use change::Change;
use database::Fault;
use held::Held;
use queue::{Act, Job, Queue, Waiter};
use rusqlite::Connection;
use std::{
    collections::HashMap,
    fmt, io, mem,
    path::PathBuf,
    sync::{Arc, Mutex, OnceLock, Weak},
    thread::{self, JoinHandle},
};
use tokio::sync::{Notify, oneshot};

/// The database of one store, and what waits to be written to it.
#[derive(Debug)]
pub(super) struct Disk {
    options: Store,
    clock: Clock,
    file: PathBuf,
    base: Mutex<Base>,
    readers: Mutex<Vec<Connection>>,
    streams: Mutex<HashMap<u32, Weak<Kept>>>,
    queue: Queue,
    failure: OnceLock<Broken>,
    ended: Notify,
    held: Mutex<Option<Held>>,
}

/// The connection that writes, and what it knows.
#[derive(Debug)]
struct Base {
    /// Nothing once the store is closed.
    connection: Option<Connection>,
    heads: HashMap<u32, Head>,
    /// Whether each commit waits for the disk now.
    synced: Option<bool>,
}

/// Why something could not be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Broken(pub(super) Arc<str>);

/// Tells when what was to be stored is as durable as it must be.
pub(super) type Done<T = ()> = oneshot::Receiver<Result<T, Broken>>;

impl Disk {
    pub(super) const fn options(&self) -> &Store {
        &self.options
    }

    /// Whether a commit waits for the disk.
    fn always(&self) -> bool {
        self.options.durable() == Durability::Always
    }

    /// Returns why nothing can be stored any more, if that is so.
    pub(super) fn failure(&self) -> Option<Broken> {
        self.failure.get().cloned()
    }

    /// Waits until nothing can be stored any more.
    pub(super) async fn ended(&self) {
        let ended = self.ended.notified();
        if self.failure.get().is_none() {
            ended.await;
        }
    }

    /// Makes a stream known, so that what is due on it is passed on.
    pub(super) fn register(&self, number: u32, kept: &Weak<Kept>) {
        lock(&self.streams).insert(number, Weak::clone(kept));
        self.rouse();
    }

    /// Lets the writer look at the time anew.
    pub(super) fn rouse(&self) {
        self.queue.add(|work| work.roused = true);
    }

    /// Waits for room to append so many bytes; nothing if the store failed.
    pub(super) async fn room(&self, bytes: usize) -> Option<u32> {
        self.queue.room(bytes).await
    }

    /// Lets the writer append a message and tell how that ended.
    pub(super) fn append(
        &self,
        (kept, stream): (Arc<Kept>, u32),
        message: Message,
        expect: Expect,
        room: u32,
    ) -> Done<Outcome> {
        let (done, end) = oneshot::channel();
        let act = Act::Append { message, expect, done };
        self.queue
            .add(|work| work.jobs.push(Job { kept, stream, act, room }));
        end
    }

    /// Lets the writer take back what is scheduled on a subject.
    pub(super) fn cancel(&self, (kept, stream): (Arc<Kept>, u32), subject: &str) -> Done<bool> {
        let (done, end) = oneshot::channel();
        let act = Act::Cancel { subject: subject.to_owned(), done };
        self.queue
            .add(|work| work.jobs.push(Job { kept, stream, act, room: 0 }));
        end
    }

    /// Lets the writer delete one message, and tell whether it was there.
    pub(super) fn delete(&self, (kept, stream): (Arc<Kept>, u32), sequence: u64) -> Done<bool> {
        let (done, end) = oneshot::channel();
        let act = Act::Delete { sequence, done };
        self.queue
            .add(|work| work.jobs.push(Job { kept, stream, act, room: 0 }));
        end
    }

    /// Says when all that was to be stored before is as durable as it must be.
    pub(super) fn after(&self, needs: Needs) -> Done {
        let (done, end) = oneshot::channel();
        self.queue
            .add(|work| work.waiters.push(Waiter { done, needs }));
        end
    }

    /// Notes that consumers of a stream moved.
    pub(super) fn moved(&self, kept: Arc<Kept>) {
        self.queue.add(|work| work.moved.push(kept));
    }

    /// Writes a stream's declaration.
    pub(super) fn declare_stream(&self, number: u32, config: &StreamConfig) -> Result<(), Broken> {
        self.at_once(|change| change.declare_stream(number, config))
    }

    /// Writes a consumer's declaration, with its first place if it is new.
    pub(super) fn declare_consumer(
        &self,
        at: (u32, u32),
        config: &ConsumerConfig,
        next: Option<u64>,
    ) -> Result<(), Broken> {
        self.at_once(|change| change.declare_consumer(at, config, next))
    }

    /// Commits a change of its own, synced.
    fn at_once(
        &self,
        act: impl FnOnce(&mut Change<'_>) -> rusqlite::Result<()>,
    ) -> Result<(), Broken> {
        if let Some(broken) = self.failure() {
            return Err(broken);
        }
        let committed = lock(&self.base).commit(true, act);
        committed.map_err(|fault| self.judge(fault))
    }

    /// Says what a fault means, and ends the store if it cannot go on.
    fn judge(&self, fault: Fault) -> Broken {
        match fault {
            Fault::NoRoom => self.no_room(),
            Fault::Passing(broken) => broken,
            Fault::Fatal(reason) => self.fail(&reason),
        }
    }

    fn no_room(&self) -> Broken {
        let path = self.options.path().display();
        Broken(
            format!("the disk of the store at {path} is full; it goes on once there is room")
                .into(),
        )
    }

    /// Notes that the store can be used no more, and says so in the log.
    fn fail(&self, reason: &str) -> Broken {
        let path = self.options.path().display();
        self.broken(format!(
            "the store at {path} cannot be used any more: {reason}; mend the disk, see what \
             `callboard store check` says, and start again"
        ))
    }

    fn broken(&self, reason: String) -> Broken {
        let broken = self.failure.get_or_init(|| {
            tracing::error!("{reason}");
            Broken(reason.into())
        });
        self.queue.end();
        self.ended.notify_waiters();
        broken.clone()
    }

    /// Closes the database, so that the folder is free.
    fn close(&self) {
        lock(&self.readers).clear();
        drop(lock(&self.base).connection.take());
        drop(lock(&self.held).take());
    }
}

impl Base {
    fn new(connection: Connection, heads: HashMap<u32, Head>) -> Self {
        Self { connection: Some(connection), heads, synced: None }
    }

    /// Makes a change in one transaction; on a fault nothing is changed.
    fn commit<T>(
        &mut self,
        synced: bool,
        act: impl FnOnce(&mut Change<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, Fault> {
        let Some(database) = &self.connection else {
            return Err(Fault::Passing(Broken("the store is closed".into())));
        };
        if self.synced != Some(synced) {
            let level = if synced { "FULL" } else { "NORMAL" };
            database
                .execute_batch(&format!("PRAGMA synchronous = {level}"))
                .map_err(|error| Fault::of(&error))?;
            self.synced = Some(synced);
        }
        let mut change = Change::new(database, &self.heads);
        let begun = database
            .prepare_cached("BEGIN IMMEDIATE")
            .and_then(|mut begin| begin.execute([]));
        let done = begun
            .and_then(|_| act(&mut change))
            .and_then(|done| change.finish().map(|()| done))
            .and_then(|done| {
                database.prepare_cached("COMMIT")?.execute([])?;
                Ok(done)
            });
        match done {
            Ok(done) => {
                let changed = mem::take(&mut change.heads);
                self.heads.extend(changed);
                Ok(done)
            }
            Err(error) => {
                if !database.is_autocommit() {
                    // What failed already says what is wrong.
                    drop(database.execute_batch("ROLLBACK"));
                }
                Err(Fault::of(&error))
            }
        }
    }
}

/// A store's life: the last one that is dropped waits until all is written,
/// and ends the thread. What the thread itself holds has none.
pub(super) struct Keeper {
    disk: Arc<Disk>,
    thread: Option<JoinHandle<()>>,
}

impl Keeper {
    fn start(disk: Disk) -> io::Result<Self> {
        let disk = Arc::new(disk);
        let thread = thread::Builder::new().name("callboard-store".into());
        let thread = thread.spawn({
            let disk = Arc::clone(&disk);
            move || writer::run(&disk)
        })?;
        Ok(Self { disk, thread: Some(thread) })
    }

    pub(super) fn disk(&self) -> &Disk {
        &self.disk
    }

    pub(super) fn disk_shared(&self) -> Arc<Disk> {
        Arc::clone(&self.disk)
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.disk.queue.add(|work| work.closed = true);
        let Some(thread) = self.thread.take() else {
            return;
        };
        if thread.join().is_err() {
            tracing::error!("the writer of the store ended in a panic");
        }
        self.disk.close();
    }
}

impl fmt::Debug for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keeper({})", self.disk.options.path().display())
    }
}
