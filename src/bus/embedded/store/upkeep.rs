//! Looking after a store that no bus has open: is it sound, what does it hold,
//! and how small can it be.

use super::{
    super::log::id_of,
    database::{self, FILE, count},
    declared, entry,
    held::Held,
    recover::{damaged, refusal},
    wal,
};
use crate::{
    bus::{OpenError, Store},
    message::headers::SCHEDULE,
};
use rusqlite::{Connection, Row, params};
use std::{fs, path::PathBuf};

/// How many faults are told before the search ends.
const FAULTS: usize = 100;

/// What a store holds.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoreStats {
    /// The size of the database, in bytes.
    pub bytes: u64,
    /// How much of that is free for new messages.
    pub free_bytes: u64,
    /// The streams, by name.
    pub streams: Vec<StoredStream>,
}

/// What one stream of a store holds.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoredStream {
    /// Its name.
    pub name: String,
    /// How many messages it holds.
    pub messages: u64,
    /// The sequence of its last message; 0 if it never had one.
    pub last_sequence: u64,
    /// The size of the messages, headers and payloads, in bytes.
    pub bytes: u64,
    /// On how many subjects they are.
    pub subjects: u64,
    /// How many of them wait for their time.
    pub scheduled: u64,
    /// Its consumers.
    pub consumers: Vec<StoredConsumer>,
}

/// Where one consumer of a stored stream stands.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoredConsumer {
    /// Its name.
    pub name: String,
    /// Up to which sequence messages were delivered.
    pub delivered: u64,
    /// How many of them are not acknowledged.
    pub outstanding: u64,
}

/// What [`Store::check`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoreCheck {
    /// How many messages were read.
    pub messages: u64,
    /// What is wrong, at most 100 sentences; empty if the store is sound.
    pub faults: Vec<String>,
}

impl Store {
    /// Checks the database page by page, then reads every message and compares
    /// what the tables say of each other. No message and no place is changed; what
    /// stands in the write-ahead log may be moved into the database.
    ///
    /// # Errors
    ///
    /// Returns [`OpenError`] if there is no store, or a bus has it open.
    pub fn check(&self) -> Result<StoreCheck, OpenError> {
        let mut search = Search { faults: Vec::new(), messages: 0 };
        let ended = self.look(|database| Ok(search.run(database)));
        match ended {
            Ok(Ok(())) => {}
            Ok(Err(error)) => search
                .faults
                .push(format!("the check could not go on: {error}")),
            Err(OpenError::Unreadable { reason, .. }) => search.faults.push(reason),
            Err(refused) => return Err(refused),
        }
        Ok(StoreCheck { messages: search.messages, faults: search.faults })
    }

    /// Tells what the store holds.
    ///
    /// # Errors
    ///
    /// Returns [`OpenError`] if there is no store, or a bus has it open.
    pub fn stats(&self) -> Result<StoreStats, OpenError> {
        self.look(stats)
    }

    /// Writes the database anew without free space, and returns its size in
    /// bytes before and after. It needs as much room again while it works.
    ///
    /// # Errors
    ///
    /// Returns [`OpenError`] if there is no store, a bus has it open, or there
    /// is no room; then it is as it was.
    pub fn compact(&self) -> Result<(u64, u64), OpenError> {
        let file = self.path().join(FILE);
        let size = || fs::metadata(&file).map_or(0, |file| file.len());
        let before = size();
        self.look(|database| {
            database.execute_batch("VACUUM")?;
            database.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
        })?;
        Ok((before, size()))
    }

    /// Returns the store if it is there, so that opening a bus makes none.
    ///
    /// # Errors
    ///
    /// Returns [`OpenError::Missing`] if there is no store.
    #[cfg(feature = "cli")]
    pub(crate) fn existing(self) -> Result<Self, OpenError> {
        if self.path().join(FILE).is_file() {
            return Ok(self);
        }
        Err(OpenError::Missing { path: self.path().into() })
    }

    /// Looks into the database while nobody else has it.
    fn look<T>(
        &self,
        look: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, OpenError> {
        let file: PathBuf = self.path().join(FILE);
        if !file.is_file() {
            return Err(OpenError::Missing { path: self.path().into() });
        }
        let _held = Held::take(self.path())?;
        let looked = wal::damage(self.path())
            .map_err(|error| OpenError::Io { path: file.clone(), reason: error.to_string() });
        if let Some(damage) = looked? {
            return Err(damaged(&damage));
        }
        let database = database::open(&file).map_err(|refused| refusal(&file, refused))?;
        look(&database).map_err(|error| refusal(&file, error.into()))
    }
}

fn stats(database: &Connection) -> rusqlite::Result<StoreStats> {
    let pragma =
        |name: &str| database.query_row(&format!("PRAGMA {name}"), [], |row| row.get(0).map(count));
    let page = pragma("page_size")?;
    let mut streams = Vec::new();
    let mut all =
        database.prepare("SELECT number, name, messages, last FROM stream ORDER BY name")?;
    let mut rows = all.query([])?;
    while let Some(row) = rows.next()? {
        streams.push(stream(database, row)?);
    }
    Ok(StoreStats {
        bytes: pragma("page_count")? * page,
        free_bytes: pragma("freelist_count")? * page,
        streams,
    })
}

fn stream(database: &Connection, row: &Row<'_>) -> rusqlite::Result<StoredStream> {
    let number: u32 = row.get(0)?;
    let one = |sql: &str| database.query_row(sql, [number], |row| row.get(0).map(count));
    let keys = (database::key(number, 0), database::key(number, u64::MAX));
    let bytes = database.query_row(
        "SELECT coalesce(sum(length(headers) + length(payload)), 0) FROM message
         WHERE key BETWEEN ? AND ?",
        keys,
        |row| row.get(0).map(count),
    )?;
    let mut all = database.prepare(
        "SELECT config, next, (SELECT count(*) FROM delivered
           WHERE stream = consumer.stream AND consumer = consumer.number)
         FROM consumer WHERE stream = ? ORDER BY number",
    )?;
    let consumers = all.query_map([number], |row| {
        let config = declared::consumer(&row.get::<_, String>(0)?);
        Ok(StoredConsumer {
            name: config.map_or_else(|_| "?".to_owned(), |config| config.name),
            delivered: row.get(1).map(count)?,
            outstanding: row.get(2).map(count)?,
        })
    })?;
    Ok(StoredStream {
        name: row.get(1)?,
        messages: row.get(2).map(count)?,
        last_sequence: row.get(3).map(count)?,
        bytes,
        subjects: one("SELECT count(*) FROM subject WHERE stream = ?")?,
        scheduled: one("SELECT count(*) FROM timer WHERE stream = ?")?,
        consumers: consumers.collect::<Result<_, _>>()?,
    })
}

/// Each asks for what must not be, and says it in words.
const NEVER: [(&str, &str); 9] = [
    (
        "SELECT name FROM stream WHERE messages != (SELECT count(*) FROM message
           WHERE key BETWEEN number << 40 AND (number << 40) | 1099511627775)",
        "a stream does not hold as many messages as it counts",
    ),
    (
        "SELECT name FROM stream WHERE last < (SELECT coalesce(max(key), 0) & 1099511627775
           FROM message WHERE key BETWEEN number << 40 AND (number << 40) | 1099511627775)",
        "a stream has a message beyond its last one",
    ),
    (
        "SELECT message.key FROM message LEFT JOIN subject ON subject.number = message.subject
         WHERE subject.stream IS NOT message.key >> 40",
        "a message has no subject of its stream",
    ),
    (
        "SELECT name FROM subject WHERE number NOT IN (SELECT subject FROM message)",
        "a subject has no message",
    ),
    (
        "SELECT name FROM subject WHERE stream NOT IN (SELECT number FROM stream)",
        "a subject has no stream",
    ),
    (
        "SELECT id FROM id WHERE NOT EXISTS(SELECT 1 FROM message
             WHERE key = id.stream << 40 | id.sequence)
         AND id NOT IN (SELECT id FROM fading)
         AND id NOT IN (SELECT timer FROM message WHERE timer IS NOT NULL)",
        "an id is remembered without its message",
    ),
    (
        "SELECT timer.key FROM timer LEFT JOIN message ON message.key = timer.key
         WHERE message.subject IS NOT timer.subject",
        "something is due that is not there",
    ),
    (
        "SELECT consumer.number FROM consumer LEFT JOIN stream ON stream.number = consumer.stream
         WHERE stream.last IS NULL OR consumer.next > stream.last",
        "a consumer is beyond its stream",
    ),
    (
        "SELECT sequence FROM delivered LEFT JOIN consumer
           ON consumer.stream = delivered.stream AND consumer.number = delivered.consumer
         WHERE consumer.next IS NULL OR delivered.sequence > consumer.next",
        "a delivery is beyond its consumer",
    ),
];

/// A check in progress.
struct Search {
    faults: Vec<String>,
    messages: u64,
}

impl Search {
    fn run(&mut self, database: &Connection) -> rusqlite::Result<()> {
        let mut pages = database.prepare("PRAGMA integrity_check(100)")?;
        let mut rows = pages.query([])?;
        while let Some(row) = rows.next()? {
            let said: String = row.get(0)?;
            if said != "ok" {
                self.faults.push(said);
            }
        }
        for (sql, fault) in NEVER {
            self.tell(&mut database.prepare(sql)?, fault)?;
        }
        self.read_all(database)
    }

    fn tell(&mut self, wrong: &mut rusqlite::Statement<'_>, fault: &str) -> rusqlite::Result<()> {
        let mut rows = wrong.query([])?;
        while let Some(row) = rows.next()? {
            if self.faults.len() >= FAULTS {
                break;
            }
            let what = match row.get_ref(0)? {
                rusqlite::types::ValueRef::Integer(number) => number.to_string(),
                other => other.as_str().unwrap_or("?").to_owned(),
            };
            self.faults.push(format!("{fault}: {what}"));
        }
        Ok(())
    }

    /// Reads every message and what belongs to it.
    fn read_all(&mut self, database: &Connection) -> rusqlite::Result<()> {
        let sql = format!(
            "SELECT {} FROM message CROSS JOIN subject ON subject.number = message.subject
             ORDER BY message.key",
            entry::COLUMNS
        );
        let mut all = database.prepare(&sql)?;
        let mut known =
            database.prepare("SELECT EXISTS(SELECT 1 FROM id WHERE stream = ? AND id = ?)")?;
        let mut armed = database.prepare("SELECT EXISTS(SELECT 1 FROM timer WHERE key = ?)")?;
        let mut rows = all.query([])?;
        while let Some(row) = rows.next()? {
            if self.faults.len() >= FAULTS {
                return Ok(());
            }
            self.messages += 1;
            let key: i64 = row.get(0)?;
            let (stream, sequence) = (key >> 40, database::sequence(key));
            let Some(record) = entry::record(row)? else {
                self.faults
                    .push(format!("message {sequence} of stream {stream} is damaged"));
                continue;
            };
            if let Some(id) = id_of(&record.headers)
                && !known.query_row(params![stream, id], |row| row.get::<_, bool>(0))?
            {
                self.faults.push(format!(
                    "the id of message {sequence} of stream {stream} is not known"
                ));
            }
            if record.headers.get(SCHEDULE).is_some()
                && !armed.query_row([key], |row| row.get::<_, bool>(0))?
            {
                self.faults.push(format!(
                    "message {sequence} of stream {stream} waits for nothing"
                ));
            }
        }
        Ok(())
    }
}
