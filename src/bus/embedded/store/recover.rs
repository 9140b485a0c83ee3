use super::{
    Base, Disk, Keeper,
    change::Head,
    database::{self, FILE, Refused, count},
    declared,
    held::{Held, make_folder},
    migration,
    queue::Queue,
    wal::{self, Damage},
};
use crate::{
    bus::{
        ConsumerConfig, ConsumerError, Durability, OpenError, Store, StreamConfig,
        embedded::kept::Kept,
    },
    time::Clock,
};
use rusqlite::{Connection, params};
use std::{
    collections::HashMap,
    io,
    path::Path,
    sync::{Arc, Mutex, OnceLock},
};
use tokio::sync::Notify;

/// One consumer and where it stands.
#[derive(Clone, Debug)]
pub(in crate::bus::embedded) struct Place {
    pub(in crate::bus::embedded) config: ConsumerConfig,
    /// Up to which sequence messages were delivered at all.
    pub(in crate::bus::embedded) next: u64,
    /// What was delivered and not settled, and how often.
    pub(in crate::bus::embedded) out: Vec<(u64, u32)>,
}

/// A stream as it was found.
struct Found {
    number: u32,
    config: StreamConfig,
    head: Head,
    consumers: Vec<Place>,
}

/// Opens a store, makes it if it is not there, and returns its streams.
pub(in crate::bus::embedded) fn open(
    options: Store,
    clock: Clock,
) -> Result<(Arc<Keeper>, Vec<Arc<Kept>>), OpenError> {
    let folder = options.path().to_path_buf();
    let failed =
        |error: io::Error| OpenError::Io { path: folder.clone(), reason: error.to_string() };
    make_folder(&folder).map_err(failed)?;
    let mut held = Held::take(&folder)?;
    migration::run(&folder)?;
    if let Some(damage) = wal::damage(&folder).map_err(failed)? {
        // Without syncs a loss of power may leave gaps, and what comes after them is lost.
        if options.durable() == Durability::Always {
            return Err(damaged(&damage));
        }
        tracing::warn!("{}: {}", damage.file.display(), damage.sentence());
    }
    let file = folder.join(FILE);
    let (connection, found) = load(&file).map_err(|refused| refusal(&file, refused))?;
    held.has_store().map_err(failed)?;
    let heads: HashMap<_, _> = found
        .iter()
        .map(|stream| (stream.number, stream.head))
        .collect();
    let disk = Disk {
        options,
        clock,
        file: file.clone(),
        base: Mutex::new(Base::new(connection, heads)),
        readers: Mutex::default(),
        streams: Mutex::default(),
        queue: Queue::new(),
        failure: OnceLock::new(),
        ended: Notify::new(),
        held: Mutex::new(Some(held)),
    };
    let keeper = Arc::new(Keeper::start(disk).map_err(failed)?);
    let streams = kept(&keeper, found, clock)
        .map_err(|error| OpenError::Unreadable { path: file, reason: error.to_string() })?;
    Ok((keeper, streams))
}

/// Says why a database was not opened.
pub(super) fn refusal(file: &Path, refused: Refused) -> OpenError {
    let path = file.to_path_buf();
    match refused {
        Refused::Foreign(reason) => OpenError::Unreadable { path, reason },
        Refused::Failed(error) => OpenError::Io { path, reason: error.to_string() },
    }
}

/// Says that the write-ahead log is damaged.
pub(super) fn damaged(damage: &Damage) -> OpenError {
    OpenError::Unreadable { path: damage.file.clone(), reason: damage.sentence() }
}

/// Opens the database and reads what is declared.
fn load(file: &Path) -> Result<(Connection, Vec<Found>), Refused> {
    let connection = database::open(file)?;
    // What an earlier process left in the log is written again before anybody
    // relies on it: its sync may have failed without a word.
    connection.execute_batch("PRAGMA synchronous = FULL")?;
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    let found = streams(&connection)?;
    Ok((connection, found))
}

fn streams(connection: &Connection) -> Result<Vec<Found>, Refused> {
    let mut all =
        connection.prepare("SELECT number, config, last, messages FROM stream ORDER BY number")?;
    let rows = all.query_map([], |row| {
        let head = Head { last: row.get(2).map(count)?, messages: row.get(3).map(count)? };
        Ok((row.get::<_, u32>(0)?, row.get::<_, String>(1)?, head))
    })?;
    let mut found = Vec::new();
    for row in rows {
        let (number, config, head) = row?;
        let config = declared::stream(&config)
            .map_err(|error| Refused::Foreign(format!("stream {number}: {error}")))?;
        let consumers = consumers(connection, number)?;
        found.push(Found { number, config, head, consumers });
    }
    Ok(found)
}

fn consumers(connection: &Connection, stream: u32) -> Result<Vec<Place>, Refused> {
    let mut all = connection
        .prepare("SELECT number, config, next FROM consumer WHERE stream = ? ORDER BY number")?;
    let rows = all.query_map([stream], |row| {
        Ok((
            row.get::<_, u32>(0)?,
            row.get::<_, String>(1)?,
            row.get(2).map(count)?,
        ))
    })?;
    let mut out = connection
        .prepare("SELECT sequence, attempt FROM delivered WHERE stream = ? AND consumer = ?")?;
    let mut places = Vec::new();
    for row in rows {
        let (number, config, next) = row?;
        let config = declared::consumer(&config)
            .map_err(|error| Refused::Foreign(format!("consumer {number}: {error}")))?;
        let out = out
            .query_map(params![stream, number], |row| {
                Ok((row.get(0).map(count)?, row.get(1)?))
            })?
            .collect::<Result<_, _>>()?;
        places.push(Place { config, next, out });
    }
    Ok(places)
}

fn kept(
    keeper: &Arc<Keeper>,
    found: Vec<Found>,
    clock: Clock,
) -> Result<Vec<Arc<Kept>>, ConsumerError> {
    found
        .into_iter()
        .map(|Found { number, config, head, consumers }| {
            let home = (keeper.disk_shared(), number);
            Kept::restored((config, clock), home, head, consumers)
        })
        .collect()
}
