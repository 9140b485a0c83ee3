//! Streams on disk: two files in a folder, and a thread that writes them.
//!
//! `log` holds the messages of all streams in the order of their commits, so
//! that one sync commits what all of them wait for. `state` holds declarations
//! and the places of consumers, and is written anew when it has grown. Both are
//! files of frames that prove themselves whole; `lock` keeps a second process out.
//!
//! A [`Disk`] writes, syncs and reads; a [`Keeper`] is its life: the thread ends
//! when the last one is dropped. Which sequence a message gets and who may see
//! it is not decided here.

mod bytes;
mod declared;
mod entry;
mod file;
mod frame;
mod held;
mod image;
mod ledger;
mod queue;
mod read;
mod recover;
mod scan;
mod writer;

pub(super) use image::Place;
pub(super) use queue::Needs;
pub(super) use read::Spot;
pub(super) use recover::open;

use super::{kept::Kept, lock, record::Record};
use crate::bus::{ConsumerConfig, Durability, Store};
use file::Framed;
use held::Held;
use ledger::Ledger;
use queue::{Job, Queue, Waiter};
use std::{
    fmt, io,
    sync::{Arc, Mutex, OnceLock},
    thread::{self, JoinHandle},
};
use tokio::sync::oneshot;

/// The kind of a message's frame in the log.
const MESSAGE: u8 = file::FREE;

/// The files of one store, and what waits to be written to them.
#[derive(Debug)]
pub(super) struct Disk {
    options: Store,
    log: Framed,
    ledger: Mutex<Ledger>,
    queue: Queue,
    failure: OnceLock<Broken>,
    _held: Held,
}

/// Why nothing can be stored any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Broken(pub(super) Arc<str>);

/// Tells when what was to be stored is as durable as it must be.
pub(super) type Done = oneshot::Receiver<Result<(), Broken>>;

impl Disk {
    pub(super) const fn options(&self) -> &Store {
        &self.options
    }

    /// Whether an append waits for a sync that it shares with others.
    pub(super) fn groups(&self) -> bool {
        self.options.durable() == Durability::Always
    }

    /// Returns why nothing can be stored, if that is so.
    pub(super) fn failure(&self) -> Option<Broken> {
        self.failure.get().cloned()
    }

    /// Waits for room to append so many bytes; nothing if the store failed.
    pub(super) async fn room(&self, bytes: usize) -> Option<u32> {
        self.queue.room(bytes).await
    }

    /// Appends a message at once and returns its place.
    pub(super) fn append(&self, stream: u32, record: &Record) -> Result<u64, Broken> {
        let mut place = 0;
        self.log
            .append(|buffer, end| {
                place = end + buffer.len() as u64;
                frame::put(buffer, MESSAGE, |body| entry::put(body, stream, record));
            })
            .map_err(|error| self.fail(&error))?;
        self.queue.written();
        Ok(place)
    }

    /// Lets the writer append a message; it tells the stream, then whoever waits.
    pub(super) fn enqueue(
        &self,
        kept: Arc<Kept>,
        stream: u32,
        record: Arc<Record>,
        room: u32,
    ) -> Done {
        let (done, end) = oneshot::channel();
        self.queue.add(|work| {
            work.jobs.push(Job { kept, stream, record, room });
            work.waiters.push(Waiter { done, needs: Needs::Messages });
        });
        end
    }

    /// Gives room back that was not used.
    pub(super) fn give_back(&self, room: u32) {
        self.queue.give_back(room);
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

    /// Writes a stream's or a consumer's declaration, synced.
    pub(super) fn declare(&self, declared: &Declared<'_>) -> Result<(), Broken> {
        if let Some(broken) = self.failure() {
            return Err(broken);
        }
        let mut ledger = lock(&self.ledger);
        let noted = ledger.note(|image, buffer| match *declared {
            Declared::Stream(stream, config) => image.stream(buffer, stream, config),
            Declared::Consumer(at, config, next) => {
                image.consumer(buffer, at, config)?;
                if let Some(next) = next {
                    image.advance(
                        buffer,
                        at,
                        super::cursor::Move { next, ..Default::default() },
                    );
                }
                Ok(())
            }
        });
        let synced = noted.and_then(|()| ledger.sync());
        drop(ledger);
        synced.map_err(|error| self.fail(&error))
    }

    /// Notes that the store can be written no more, and says so in the log.
    fn fail(&self, error: &io::Error) -> Broken {
        let path = self.options.path().display();
        let reason =
            format!("the store at {path} cannot be written: {error}; mend that and start again");
        self.broken(reason)
    }

    fn broken(&self, reason: String) -> Broken {
        let broken = self.failure.get_or_init(|| {
            tracing::error!("{reason}");
            Broken(reason.into())
        });
        self.queue.end();
        broken.clone()
    }
}

/// What can be declared: a stream by its number, or a consumer by the stream's
/// and its own, with its first place if it is new.
#[derive(Debug)]
pub(super) enum Declared<'a> {
    Stream(u32, &'a crate::bus::StreamConfig),
    Consumer((u32, u32), &'a ConsumerConfig, Option<u64>),
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
    }
}

impl fmt::Debug for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keeper({})", self.disk.options.path().display())
    }
}
