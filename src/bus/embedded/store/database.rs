//! The database file: its tables, how it is opened, and what its errors mean.

use super::Broken;
use rusqlite::{Connection, ErrorCode, OpenFlags};
use std::{fmt, path::Path, time::Duration};

/// The name of the database in the store's folder.
pub(super) const FILE: &str = "callboard.sqlite";
/// Marks a database as one of this store.
const APPLICATION: i64 = 0x0CB0_AED5;
/// The version of the tables.
const VERSION: i64 = 1;
/// How long a statement waits for a lock that another program holds.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// What the operating system's shared memory reports when the disk is full.
const NO_ROOM_FOR_INDEX: i32 = 4_874;
/// How many bits of a message's key are its sequence; the rest is its stream.
const SEQUENCE_BITS: u32 = 40;
const SEQUENCES: i64 = (1 << SEQUENCE_BITS) - 1;

/// A message's key is its stream's number and its sequence, so that a stream is
/// read in order. `id` holds every id that is remembered: as long as its
/// message, and at least for the stream's window after that, when `fading`
/// says until when.
const TABLES: &str = "
CREATE TABLE stream(
  number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, config TEXT NOT NULL,
  last INTEGER NOT NULL DEFAULT 0, messages INTEGER NOT NULL DEFAULT 0);
CREATE TABLE subject(
  number INTEGER PRIMARY KEY, stream INTEGER NOT NULL, name TEXT NOT NULL, UNIQUE(stream, name));
CREATE TABLE message(
  key INTEGER PRIMARY KEY, subject INTEGER NOT NULL, time INTEGER NOT NULL, timer TEXT,
  headers BLOB NOT NULL, payload BLOB NOT NULL, checksum INTEGER NOT NULL);
CREATE INDEX message_subject ON message(subject);
CREATE TABLE id(
  stream INTEGER NOT NULL, id TEXT NOT NULL, sequence INTEGER NOT NULL,
  PRIMARY KEY(stream, id)) WITHOUT ROWID;
CREATE TABLE fading(until INTEGER NOT NULL, stream INTEGER NOT NULL, id TEXT NOT NULL);
CREATE INDEX fading_until ON fading(until);
CREATE TABLE timer(
  subject INTEGER PRIMARY KEY, stream INTEGER NOT NULL, due INTEGER NOT NULL, key INTEGER NOT NULL);
CREATE INDEX timer_due ON timer(stream, due, key);
CREATE TABLE consumer(
  stream INTEGER NOT NULL, number INTEGER NOT NULL, config TEXT NOT NULL, next INTEGER NOT NULL,
  PRIMARY KEY(stream, number)) WITHOUT ROWID;
CREATE TABLE delivered(
  stream INTEGER NOT NULL, consumer INTEGER NOT NULL, sequence INTEGER NOT NULL,
  attempt INTEGER NOT NULL, PRIMARY KEY(stream, consumer, sequence)) WITHOUT ROWID;
CREATE TABLE meta(name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO meta VALUES('syncs', 0);
CREATE VIEW messages AS
  SELECT stream.name AS stream, message.key & 1099511627775 AS sequence, subject.name AS subject,
    message.time AS time_ns, message.payload AS payload
  FROM message JOIN subject ON subject.number = message.subject
  JOIN stream ON stream.number = subject.stream;
";

/// Returns the key of a message.
pub(super) fn key(stream: u32, sequence: u64) -> i64 {
    (i64::from(stream) << SEQUENCE_BITS) | int(sequence).min(SEQUENCES)
}

/// Returns the sequence that a key holds.
pub(super) fn sequence(key: i64) -> u64 {
    count(key & SEQUENCES)
}

/// Returns a number as the database holds it.
pub(super) fn int(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Returns a number that is never negative.
pub(super) fn count(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}

/// Opens a database to write, and makes its tables if it is new.
pub(super) fn open(path: &Path) -> Result<Connection, Refused> {
    let connection = connect(path)?;
    connection.set_prepared_statement_cache_capacity(64);
    if is_new(&connection)? {
        connection.execute_batch("PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL;")?;
        make(&connection)?;
    }
    check_version(&connection)?;
    connection.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0; PRAGMA cache_size = -16000;
         PRAGMA journal_size_limit = 16777216; PRAGMA temp_store = MEMORY;",
    )?;
    Ok(connection)
}

/// Opens an empty database that is written once and then put in its place.
pub(super) fn fresh(path: &Path) -> Result<Connection, Refused> {
    let connection = connect(path)?;
    connection.set_prepared_statement_cache_capacity(64);
    connection.execute_batch(
        "PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;",
    )?;
    make(&connection)?;
    Ok(connection)
}

/// Opens a database that is there already, to read.
pub(super) fn reader(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.execute_batch("PRAGMA query_only = ON; PRAGMA cache_size = -4000;")?;
    Ok(connection)
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    Ok(connection)
}

fn is_new(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row("SELECT count(*) = 0 FROM sqlite_schema", [], |row| {
        row.get(0)
    })
}

fn make(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(&format!(
        "BEGIN; {TABLES} PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {VERSION}; COMMIT;"
    ))
}

fn check_version(connection: &Connection) -> Result<(), Refused> {
    let pragma = |name: &str| -> rusqlite::Result<i64> {
        connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get(0))
    };
    if pragma("application_id")? != APPLICATION {
        return Err(Refused::Foreign(
            "it is a database of another program".into(),
        ));
    }
    match pragma("user_version")? {
        VERSION => Ok(()),
        other => Err(Refused::Foreign(format!(
            "it is of version {other}, and this program reads version {VERSION}"
        ))),
    }
}

/// Why a database was not opened.
#[derive(Debug)]
pub(super) enum Refused {
    /// What is there is no store of this program.
    Foreign(String),
    /// The database or the operating system said no.
    Failed(rusqlite::Error),
}

impl From<rusqlite::Error> for Refused {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
                Self::Foreign(error.to_string())
            }
            _ => Self::Failed(error),
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Foreign(reason) => f.write_str(reason),
            Self::Failed(error) => error.fmt(f),
        }
    }
}

/// What a failed statement means for the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Nothing was changed, and there is no room; later there may be.
    NoRoom,
    /// Nothing was changed; another attempt may succeed.
    Passing(Broken),
    /// The file cannot be trusted any more.
    Fatal(String),
}

impl Fault {
    pub(super) fn of(error: &rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::NoRoom,
            Some(ErrorCode::SystemIoFailure)
                if error.sqlite_extended_error_code() == Some(NO_ROOM_FOR_INDEX) =>
            {
                Self::NoRoom
            }
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::OutOfMemory) => {
                Self::Passing(Broken(error.to_string().into()))
            }
            _ => Self::Fatal(error.to_string()),
        }
    }
}
