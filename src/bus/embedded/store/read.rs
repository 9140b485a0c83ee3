//! Reads of what is committed, each on a connection of its own.

use super::{
    Disk,
    database::{Fault, key, reader, sequence},
    entry, lock,
};
use crate::bus::embedded::record::Record;
use rusqlite::{Connection, ErrorCode, OptionalExtension, params, types::ValueRef};
use std::{collections::VecDeque, io, sync::Arc};

/// How many connections are kept for the next reads.
const IDLE: usize = 4;

/// Messages in their order, and up to which sequence was looked.
#[derive(Debug, Default)]
pub(in crate::bus::embedded) struct Batch {
    pub(in crate::bus::embedded) records: VecDeque<Arc<Record>>,
    pub(in crate::bus::embedded) looked: u64,
}

impl Batch {
    /// Takes a message in; one that is damaged ends the batch before it, or is
    /// told if it is the first.
    fn take(&mut self, record: Option<Record>, at: u64) -> Result<bool, Unread> {
        match record {
            Some(record) => {
                self.records.push_back(Arc::new(record));
                Ok(true)
            }
            None if self.records.is_empty() => Err(Unread::Damaged(at)),
            None => {
                self.looked = at - 1;
                Ok(false)
            }
        }
    }
}

impl Disk {
    /// Reads one message; nothing if it is gone.
    pub(in crate::bus::embedded) fn one(
        &self,
        stream: u32,
        at: u64,
    ) -> io::Result<Option<Arc<Record>>> {
        let sql = select("WHERE message.key = ?");
        self.read(|database| {
            let found = database
                .prepare_cached(&sql)?
                .query_row([key(stream, at)], entry::record)
                .optional()?;
            found.map(|record| intact(record, at)).transpose()
        })
    }

    /// Reads the last message on a subject.
    pub(in crate::bus::embedded) fn last(
        &self,
        stream: u32,
        subject: &str,
    ) -> io::Result<Option<Arc<Record>>> {
        let sql = select(
            "WHERE subject.stream = ? AND subject.name = ? ORDER BY message.key DESC LIMIT 1",
        );
        self.read(|database| {
            let found = database
                .prepare_cached(&sql)?
                .query_row(params![stream, subject], |row| {
                    Ok((sequence(row.get(0)?), entry::record(row)?))
                })
                .optional()?;
            found.map(|(at, record)| intact(record, at)).transpose()
        })
    }

    /// Reads messages on one subject between two sequences, both included.
    pub(in crate::bus::embedded) fn of_subject(
        &self,
        (stream, subject): (u32, &str),
        (from, to): (u64, u64),
        limit: usize,
    ) -> io::Result<Batch> {
        let sql = select(
            "WHERE subject.stream = ? AND subject.name = ? AND message.key BETWEEN ? AND ?
             ORDER BY message.key LIMIT ?",
        );
        self.read(|database| {
            let mut batch = Batch { looked: to, ..Batch::default() };
            let mut found = database.prepare_cached(&sql)?;
            let mut rows = found.query(params![
                stream,
                subject,
                key(stream, from),
                key(stream, to),
                rows(limit)
            ])?;
            while let Some(row) = rows.next()? {
                let at = sequence(row.get(0)?);
                if !batch.take(entry::record(row)?, at)? {
                    return Ok(batch);
                }
            }
            if batch.records.len() == limit
                && let Some(last) = batch.records.back()
            {
                batch.looked = last.sequence;
            }
            Ok(batch)
        })
    }

    /// Returns the last message of each subject that is wanted, by sequence.
    pub(in crate::bus::embedded) fn heads(
        &self,
        stream: u32,
        wanted: impl Fn(&str) -> bool,
    ) -> io::Result<Vec<u64>> {
        self.read(|database| {
            let mut found = database.prepare_cached(
                "SELECT name, (SELECT max(key) FROM message WHERE message.subject = subject.number)
                 FROM subject WHERE stream = ?",
            )?;
            let mut rows = found.query([stream])?;
            let mut heads = Vec::new();
            while let Some(row) = rows.next()? {
                if matches(row.get_ref(0)?, &wanted)
                    && let Some(key) = row.get::<_, Option<i64>>(1)?
                {
                    heads.push(sequence(key));
                }
            }
            Ok(heads)
        })
    }

    /// Looks at so many messages between two sequences, both included, and reads
    /// those whose subject is wanted.
    pub(in crate::bus::embedded) fn range(
        &self,
        stream: u32,
        (from, to): (u64, u64),
        limit: usize,
        wanted: impl Fn(&str) -> bool,
    ) -> io::Result<Batch> {
        let sql = select("WHERE message.key BETWEEN ? AND ? ORDER BY message.key LIMIT ?");
        self.read(|database| {
            let mut batch = Batch { looked: to, ..Batch::default() };
            let mut found = database.prepare_cached(&sql)?;
            let (first, last) = (key(stream, from), key(stream, to));
            let mut rows = found.query(params![first, last, rows(limit)])?;
            let (mut seen, mut at) = (0, to);
            while let Some(row) = rows.next()? {
                (seen, at) = (seen + 1, sequence(row.get(0)?));
                if matches(row.get_ref(1)?, &wanted) && !batch.take(entry::record(row)?, at)? {
                    return Ok(batch);
                }
            }
            if seen == limit {
                batch.looked = at;
            }
            Ok(batch)
        })
    }

    /// Looks at so many messages between two sequences, both included, and
    /// returns the sequences of those whose subject is wanted, and up to which
    /// it looked.
    pub(in crate::bus::embedded) fn sequences(
        &self,
        stream: u32,
        (from, to): (u64, u64),
        limit: usize,
        wanted: impl Fn(&str) -> bool,
    ) -> io::Result<(Vec<u64>, u64)> {
        self.read(|database| {
            let mut found = database.prepare_cached(
                "SELECT message.key, subject.name FROM message
                 CROSS JOIN subject ON subject.number = message.subject
                 WHERE message.key BETWEEN ? AND ? ORDER BY message.key LIMIT ?",
            )?;
            let (first, last) = (key(stream, from), key(stream, to));
            let mut rows = found.query(params![first, last, rows(limit)])?;
            let (mut sequences, mut seen, mut at) = (Vec::new(), 0, to);
            while let Some(row) = rows.next()? {
                (seen, at) = (seen + 1, sequence(row.get(0)?));
                if matches(row.get_ref(1)?, &wanted) {
                    sequences.push(at);
                }
            }
            Ok((sequences, if seen == limit { at } else { to }))
        })
    }

    fn read<T>(&self, read: impl Fn(&Connection) -> Result<T, Unread>) -> io::Result<T> {
        let kept = lock(&self.readers).pop();
        let database = match kept {
            Some(database) => database,
            None => reader(&self.file).map_err(|error| self.unread(error.into()))?,
        };
        let found = read(&database).map_err(|unread| self.unread(unread))?;
        let mut readers = lock(&self.readers);
        if readers.len() < IDLE {
            readers.push(database);
        }
        drop(readers);
        Ok(found)
    }

    fn unread(&self, unread: Unread) -> io::Error {
        let path = self.file.display();
        let reason = match unread {
            Unread::Damaged(at) => format!("message {at} is damaged"),
            Unread::Failed(error) if is_unopened(&error) && self.file.exists() => {
                return io::Error::other(format!(
                    "the store's file {path} is there and cannot be opened now: {error}; this \
                     process may have as many files open as it is allowed (`ulimit -n`)"
                ));
            }
            Unread::Failed(error) => {
                if let Fault::Fatal(reason) = Fault::of(&error) {
                    self.fail(&reason);
                }
                error.to_string()
            }
        };
        io::Error::other(format!(
            "the store's file {path} cannot be read: {reason}; see what `callboard store check` says"
        ))
    }
}

/// Why something was not read.
enum Unread {
    Damaged(u64),
    Failed(rusqlite::Error),
}

impl From<rusqlite::Error> for Unread {
    fn from(error: rusqlite::Error) -> Self {
        Self::Failed(error)
    }
}

fn is_unopened(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::CannotOpen)
}

fn select(which: &str) -> String {
    // The order of the tables is the order in which they are read.
    let order = if which.starts_with("WHERE subject") {
        "subject CROSS JOIN message"
    } else {
        "message CROSS JOIN subject"
    };
    let columns = entry::COLUMNS;
    format!("SELECT {columns} FROM {order} ON subject.number = message.subject {which}")
}

fn intact(record: Option<Record>, at: u64) -> Result<Arc<Record>, Unread> {
    record.map(Arc::new).ok_or(Unread::Damaged(at))
}

fn matches(subject: ValueRef<'_>, wanted: impl Fn(&str) -> bool) -> bool {
    subject.as_str().is_ok_and(wanted)
}

fn rows(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}
