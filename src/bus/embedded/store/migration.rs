//! Takes over a store from before it was a database: its files `log` and `state`
//! are read once and written into a database beside them, which takes their place.

use super::{
    Head,
    change::{Change, New, Target},
    database::{self, FILE, Refused},
    held::sync_folder,
    old::{self, Entry, Fault},
    recover::refusal,
};
use crate::bus::{OpenError, StreamConfig};
use rusqlite::Connection;
use std::{
    collections::{BTreeMap, HashMap},
    fs, io,
    path::Path,
};

/// The database while it is being written.
const NEW: &str = "callboard.sqlite.new";
/// What the names of the old files end with once they were taken over.
const DONE: &str = "migrated";
/// The old files, in the order in which they are set aside.
const OLD: [&str; 2] = ["state", "log"];

/// Takes over the old files of a folder, if there are any. An end in the middle
/// leaves them as they are, and the next start begins again.
pub(super) fn run(folder: &Path) -> Result<(), OpenError> {
    let log = folder.join("log");
    let failed = |error: io::Error| OpenError::Io { path: log.clone(), reason: error.to_string() };
    let there = OLD.iter().any(|name| folder.join(name).exists());
    if !there {
        return Ok(());
    }
    for name in OLD {
        refuse_later_files(folder, name)?;
    }
    let file = folder.join(FILE);
    if !file.exists() {
        take_over(folder)?;
    } else if !is_taken_over(&file).map_err(|refused| refusal(&file, refused))? {
        let reason = format!("it is of an earlier version, and {FILE} is beside it; move one away");
        return Err(OpenError::Unreadable { path: log, reason });
    }
    for name in OLD {
        let old = folder.join(name);
        if old.exists() {
            fs::rename(&old, folder.join(format!("{name}.{DONE}"))).map_err(failed)?;
        }
    }
    sync_folder(folder).map_err(failed)
}

/// Refuses old files beside those that were taken over: what an older program stored
/// since would be lost, and so would the files that were set aside.
fn refuse_later_files(folder: &Path, name: &str) -> Result<(), OpenError> {
    let (old, done) = (folder.join(name), format!("{name}.{DONE}"));
    if !old.exists() || !folder.join(&done).exists() {
        return Ok(());
    }
    let reason = format!(
        "an older program was run here after its files had been taken over, and {done} is \
         beside it; move `log` and `state` to a directory of their own, where they can be taken \
         over, or away to go on without them"
    );
    Err(OpenError::Unreadable { path: old, reason })
}

/// Writes the database and puts it in its place.
fn take_over(folder: &Path) -> Result<(), OpenError> {
    let (new, file) = (folder.join(NEW), folder.join(FILE));
    let failed = |error: io::Error| OpenError::Io { path: new.clone(), reason: error.to_string() };
    tracing::info!(path = %folder.display(), "taking over a store of an earlier version");
    if new.exists() {
        fs::remove_file(&new).map_err(failed)?;
    }
    let written = write(folder, &new);
    if written.is_err() {
        // It is in the way of nothing, but it takes room.
        drop(fs::remove_file(&new));
    }
    let count = written?;
    fs::File::open(&new)
        .and_then(|file| file.sync_all())
        .and_then(|()| fs::rename(&new, &file))
        .and_then(|()| sync_folder(folder))
        .map_err(failed)?;
    tracing::info!(path = %folder.display(), messages = count, "took it over");
    Ok(())
}

fn is_taken_over(file: &Path) -> Result<bool, Refused> {
    let connection = database::open(file)?;
    let marked = connection.query_row(
        "SELECT EXISTS(SELECT 1 FROM meta WHERE name = 'migrated')",
        [],
        |row| row.get(0),
    )?;
    Ok(marked)
}

fn write(folder: &Path, new: &Path) -> Result<u64, OpenError> {
    let at = |name: &str| {
        let path = folder.join(name);
        move |fault| match fault {
            Fault::Io(error) => OpenError::Io { path, reason: error.to_string() },
            Fault::Damaged(reason) => OpenError::Unreadable { path, reason },
        }
    };
    let refused = |refused| refusal(new, refused);
    let state = old::state(folder).map_err(at("state"))?;
    let database = database::fresh(new).map_err(refused)?;
    let mut taking = Taking { streams: &state.streams, database: &database, heads: HashMap::new() };
    let failed = |error: rusqlite::Error| refused(error.into());
    database.execute_batch("BEGIN").map_err(failed)?;
    taking.declare().map_err(failed)?;
    let mut stopped = None;
    let read = old::log(folder, !state.streams.is_empty(), |position, entry| {
        let strange = || format!("what stands at byte {position} makes no sense");
        let entry = entry.ok_or_else(strange)?;
        match taking.take(&entry) {
            Ok(true) => Ok(()),
            Ok(false) => Err(strange()),
            Err(error) => {
                let reason = error.to_string();
                stopped = Some(error);
                Err(reason)
            }
        }
    });
    if let Some(error) = stopped {
        return Err(failed(error));
    }
    let count = read.map_err(at("log"))?;
    taking.place(&state.consumers).map_err(failed)?;
    database
        .execute_batch("INSERT INTO meta VALUES('migrated', 1); COMMIT")
        .map_err(failed)?;
    Ok(count)
}

/// A migration in progress.
struct Taking<'a> {
    streams: &'a BTreeMap<u32, StreamConfig>,
    database: &'a Connection,
    heads: HashMap<u32, Head>,
}

impl Taking<'_> {
    fn declare(&self) -> rusqlite::Result<()> {
        let change = Change::new(self.database, &self.heads);
        for (number, config) in self.streams {
            change.declare_stream(*number, config)?;
        }
        Ok(())
    }

    /// Takes a message over; says whether it makes sense.
    fn take(&mut self, entry: &Entry<'_>) -> rusqlite::Result<bool> {
        let Some(config) = self.streams.get(&entry.stream) else {
            return Ok(false);
        };
        let last = self.heads.get(&entry.stream).map_or(0, |head| head.last);
        let Some((headers, payload)) = entry.content().filter(|_| entry.sequence == last + 1)
        else {
            return Ok(false);
        };
        let at = Target { number: entry.stream, config, now: entry.time };
        let new = New { subject: entry.subject, headers: &headers, payload, time: entry.time };
        let mut change = Change::new(self.database, &self.heads);
        change.file(at, entry.sequence, new)?;
        let heads = std::mem::take(&mut change.heads);
        self.heads.extend(heads);
        Ok(true)
    }

    /// Takes over where consumers stand, and how far the streams are.
    fn place(&mut self, consumers: &BTreeMap<(u32, u32), old::Place>) -> rusqlite::Result<()> {
        let mut change = Change::new(self.database, &self.heads);
        change.heads.clone_from(&self.heads);
        for (at, place) in consumers {
            let last = self.heads.get(&at.0).map_or(0, |head| head.last);
            let next = place.next.min(last);
            change.declare_consumer(*at, &place.config, Some(next))?;
            let out = place.out.iter().filter(|(sequence, _)| **sequence <= last);
            let out = out
                .map(|(sequence, attempt)| (*sequence, *attempt))
                .collect();
            let step = crate::bus::embedded::cursor::Move { next, out, gone: Vec::new() };
            change.advance(*at, &step)?;
        }
        change.finish()
    }
}
