//! What one transaction does to the streams: the decisions about messages, and
//! the rows that follow from them.

use super::{
    super::{
        cursor::Move,
        log::{Outcome, id_of},
        record::Record,
        timers,
    },
    database::{count, int, key, sequence},
    entry::{self, checksum, nanos},
};
use crate::{
    bus::{ConsumerConfig, Expect, Message, StreamConfig, embedded::timers::Mark},
    message::Headers,
};
use rusqlite::{Connection, OptionalExtension, params};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::{Duration, SystemTime},
};

/// How many due messages one transaction passes on.
const DUE: i64 = 256;
/// How many ids one transaction forgets.
const FADED: usize = 1_000;
/// How long a due message that cannot be read is put off.
const UNREADABLE: Duration = Duration::from_mins(1);

/// The last sequence of a stream, and how many messages it holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::bus::embedded) struct Head {
    pub(in crate::bus::embedded) last: u64,
    pub(in crate::bus::embedded) messages: u64,
}

/// A stream as a transaction needs it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Target<'a> {
    pub(super) number: u32,
    pub(super) config: &'a StreamConfig,
    pub(super) now: SystemTime,
}

/// One transaction in progress.
#[derive(Debug)]
pub(super) struct Change<'a> {
    database: &'a Connection,
    known: &'a HashMap<u32, Head>,
    /// The heads that changed.
    pub(super) heads: HashMap<u32, Head>,
    /// The messages that are gone.
    pub(super) removed: Vec<(u32, u64)>,
}

/// A message to file.
#[derive(Clone, Copy, Debug)]
pub(super) struct New<'a> {
    pub(super) subject: &'a str,
    pub(super) headers: &'a Headers,
    pub(super) payload: &'a [u8],
    pub(super) time: SystemTime,
}

/// A message that was passed on because it was due.
#[derive(Debug)]
pub(super) struct Fired {
    pub(super) message: Message,
    pub(super) sequence: u64,
}

/// A message that was taken out.
struct Gone {
    id: Option<String>,
    time: i64,
}

impl<'a> Change<'a> {
    pub(super) fn new(database: &'a Connection, known: &'a HashMap<u32, Head>) -> Self {
        Self { database, known, heads: HashMap::new(), removed: Vec::new() }
    }

    fn head(&mut self, stream: u32) -> &mut Head {
        let known = self.known;
        self.heads
            .entry(stream)
            .or_insert_with(|| known.get(&stream).copied().unwrap_or_default())
    }

    /// Files a message, unless its id is known, the expectation does not hold
    /// or the stream is full; checked in this order.
    pub(super) fn append(
        &mut self,
        at: Target<'_>,
        message: &Message,
        expect: Expect,
    ) -> rusqlite::Result<Outcome> {
        if let Some(id) = id_of(&message.headers)
            && let Some(sequence) = self.known_id(at.number, id)?
        {
            return Ok(Outcome::Duplicate { sequence });
        }
        if let Expect::Last(expected) = expect {
            let last = match self.subject(at.number, &message.subject)? {
                Some(subject) => self.last_of(subject)?,
                None => 0,
            };
            if last != expected {
                return Ok(Outcome::Conflict { last });
            }
        }
        let held = self.head(at.number).messages;
        if let Some(limit) = at.config.max_messages.filter(|max| held >= *max) {
            return Ok(Outcome::Full { limit });
        }
        let new = New {
            subject: &message.subject,
            headers: &message.headers,
            payload: &message.payload,
            time: at.now,
        };
        let sequence = self.head(at.number).last + 1;
        self.file(at, sequence, new)?;
        Ok(Outcome::Stored { sequence })
    }

    /// Files a message under a sequence beyond the last one.
    pub(super) fn file(
        &mut self,
        at: Target<'_>,
        sequence: u64,
        new: New<'_>,
    ) -> rusqlite::Result<()> {
        self.head(at.number).last = sequence;
        let header = |name: &str| new.headers.get(name);
        let mark = at.config.schedules.then(|| Mark::of(header)).flatten();
        let mut timer = None;
        match mark {
            Some(Mark::Armed(_)) => self.replace_timer(at, new.subject)?,
            Some(Mark::Fired(scheduler)) => {
                timer = self.spend(at, scheduler)?;
                if scheduler == new.subject {
                    // What takes a scheduled message back leaves nothing behind.
                    return timer.map_or(Ok(()), |id| self.fade(at, &id, nanos(at.now)));
                }
            }
            None => {}
        }
        let subject = self.insert(at, sequence, (new, timer.as_deref()))?;
        if let Some(id) = id_of(new.headers) {
            self.remember(at.number, id, sequence)?;
        }
        if let Some(Mark::Armed(due)) = mark {
            self.database
                .prepare_cached("INSERT INTO timer(subject, stream, due, key) VALUES(?, ?, ?, ?)")?
                .execute(params![
                    subject,
                    at.number,
                    nanos(due),
                    key(at.number, sequence)
                ])?;
        }
        if at.config.last_per_subject {
            self.drop_older(at, subject, sequence)?;
        }
        Ok(())
    }

    fn insert(
        &mut self,
        at: Target<'_>,
        sequence: u64,
        (new, timer): (New<'_>, Option<&str>),
    ) -> rusqlite::Result<i64> {
        let subject = match self.subject(at.number, new.subject)? {
            Some(subject) => subject,
            None => self
                .database
                .prepare_cached("INSERT INTO subject(stream, name) VALUES(?, ?)")?
                .insert(params![at.number, new.subject])?,
        };
        let headers = entry::put(new.headers);
        self.database
            .prepare_cached("INSERT INTO message VALUES(?, ?, ?, ?, ?, ?, ?)")?
            .execute(params![
                key(at.number, sequence),
                subject,
                nanos(new.time),
                timer,
                headers,
                new.payload,
                checksum(&headers, new.payload)
            ])?;
        self.head(at.number).messages += 1;
        Ok(subject)
    }

    fn drop_older(&mut self, at: Target<'_>, subject: i64, than: u64) -> rusqlite::Result<()> {
        let older: Vec<i64> = self
            .database
            .prepare_cached("SELECT key FROM message WHERE subject = ? AND key < ?")?
            .query_map(params![subject, key(at.number, than)], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        for key in older {
            self.drop(at, key)?;
        }
        Ok(())
    }

    /// Takes out a message; its id is remembered for the rest of its window.
    fn drop(&mut self, at: Target<'_>, key: i64) -> rusqlite::Result<()> {
        match self.take_out(at, key)? {
            Some(Gone { id: Some(id), time }) => self.fade(at, &id, time),
            _ => Ok(()),
        }
    }

    /// Takes a message out and leaves its id.
    fn take_out(&mut self, at: Target<'_>, key: i64) -> rusqlite::Result<Option<Gone>> {
        let gone = self
            .database
            .prepare_cached(
                "DELETE FROM message WHERE key = ? RETURNING subject, time, timer, headers",
            )?
            .query_row([key], |row| {
                let id = match row.get::<_, Option<String>>(2)? {
                    Some(id) => Some(id),
                    None => entry::headers(row.get_ref(3)?.as_blob()?)
                        .and_then(|headers| id_of(&headers).map(ToOwned::to_owned)),
                };
                Ok((row.get::<_, i64>(0)?, Gone { id, time: row.get(1)? }))
            })
            .optional()?;
        let Some((subject, gone)) = gone else {
            return Ok(None);
        };
        self.database
            .prepare_cached(
                "DELETE FROM subject WHERE number = ?1
                 AND NOT EXISTS(SELECT 1 FROM message WHERE subject = ?1)",
            )?
            .execute([subject])?;
        let head = self.head(at.number);
        head.messages = head.messages.saturating_sub(1);
        self.removed.push((at.number, sequence(key)));
        Ok(Some(gone))
    }

    /// Forgets an id, once its window is over.
    fn fade(&mut self, at: Target<'_>, id: &str, stored: i64) -> rusqlite::Result<()> {
        let window = u64::try_from(at.config.duplicate_window.as_nanos()).unwrap_or(u64::MAX);
        let until = stored.saturating_add(int(window));
        if until > nanos(at.now) {
            self.database
                .prepare_cached("INSERT INTO fading(until, stream, id) VALUES(?, ?, ?)")?
                .execute(params![until, at.number, id])?;
        } else {
            self.database
                .prepare_cached("DELETE FROM id WHERE stream = ? AND id = ?")?
                .execute(params![at.number, id])?;
        }
        Ok(())
    }

    /// Forgets ids whose windows are over; says whether there may be more.
    pub(super) fn forget(&self, now: SystemTime) -> rusqlite::Result<bool> {
        let over: Vec<(i64, u32, String)> = self
            .database
            .prepare_cached(
                "SELECT rowid, stream, id FROM fading WHERE until <= ? ORDER BY until LIMIT ?",
            )?
            .query_map(params![nanos(now), int(FADED as u64)], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })?
            .collect::<Result<_, _>>()?;
        for (row, stream, id) in &over {
            self.database
                .prepare_cached("DELETE FROM id WHERE stream = ? AND id = ?")?
                .execute(params![stream, id])?;
            self.database
                .prepare_cached("DELETE FROM fading WHERE rowid = ?")?
                .execute([row])?;
        }
        Ok(over.len() == FADED)
    }

    /// Takes the place of what is scheduled on a subject.
    fn replace_timer(&mut self, at: Target<'_>, subject: &str) -> rusqlite::Result<()> {
        match self.spend(at, subject)? {
            Some(id) => self.fade(at, &id, nanos(at.now)),
            None => Ok(()),
        }
    }

    /// Takes out what is scheduled on a subject and returns its id.
    fn spend(&mut self, at: Target<'_>, subject: &str) -> rusqlite::Result<Option<String>> {
        let Some(subject) = self.subject(at.number, subject)? else {
            return Ok(None);
        };
        let Some(key) = self.unset_timer(subject)? else {
            return Ok(None);
        };
        Ok(self.take_out(at, key)?.and_then(|gone| gone.id))
    }

    fn unset_timer(&self, subject: i64) -> rusqlite::Result<Option<i64>> {
        self.database
            .prepare_cached("DELETE FROM timer WHERE subject = ? RETURNING key")?
            .query_row([subject], |row| row.get(0))
            .optional()
    }

    /// Takes back what is scheduled on a subject; returns whether there was something.
    pub(super) fn cancel(&mut self, at: Target<'_>, subject: &str) -> rusqlite::Result<bool> {
        let Some(number) = self.subject(at.number, subject)? else {
            return Ok(false);
        };
        let Some(key) = self.unset_timer(number)? else {
            return Ok(false);
        };
        self.drop(at, key)?;
        Ok(true)
    }

    /// Deletes one message, also one that is scheduled; returns whether it was there.
    pub(super) fn delete(&mut self, at: Target<'_>, sequence: u64) -> rusqlite::Result<bool> {
        let key = key(at.number, sequence);
        let Some(gone) = self.take_out(at, key)? else {
            return Ok(false);
        };
        self.database
            .prepare_cached("DELETE FROM timer WHERE key = ?")?
            .execute([key])?;
        if let Gone { id: Some(id), time } = gone {
            self.fade(at, &id, time)?;
        }
        Ok(true)
    }

    /// Passes on what of a stream is due. The id of what was scheduled stays
    /// known as long as the message that took its place.
    pub(super) fn fire(&mut self, at: Target<'_>) -> rusqlite::Result<Vec<Fired>> {
        let sql = format!(
            "SELECT {}, timer.subject FROM timer JOIN message ON message.key = timer.key
             JOIN subject ON subject.number = message.subject
             WHERE timer.stream = ? AND timer.due <= ? ORDER BY timer.due, timer.key LIMIT {DUE}",
            entry::COLUMNS
        );
        let due: Vec<(i64, Option<Record>)> = self
            .database
            .prepare_cached(&sql)?
            .query_map(params![at.number, nanos(at.now)], |row| {
                Ok((row.get(6)?, entry::record(row)?))
            })?
            .collect::<Result<_, _>>()?;
        let mut fired = Vec::with_capacity(due.len());
        for (subject, record) in due {
            match record {
                Some(record) => fired.push(self.fire_one(at, &record)?),
                None => self.put_off(at, subject)?,
            }
        }
        Ok(fired)
    }

    fn fire_one(&mut self, at: Target<'_>, record: &Record) -> rusqlite::Result<Fired> {
        let message = timers::fired(&record.subject, &record.headers, record.payload.clone());
        let sequence = self.head(at.number).last + 1;
        let new = New {
            subject: &message.subject,
            headers: &message.headers,
            payload: &message.payload,
            time: at.now,
        };
        self.file(at, sequence, new)?;
        Ok(Fired { message, sequence })
    }

    fn put_off(&self, at: Target<'_>, subject: i64) -> rusqlite::Result<()> {
        let stream = &*at.config.name;
        tracing::error!(stream, "a message that is due is damaged; it is put off");
        self.database
            .prepare_cached("UPDATE timer SET due = ? WHERE subject = ?")?
            .execute(params![nanos(at.now + UNREADABLE), subject])?;
        Ok(())
    }

    /// Writes what changed for a consumer.
    pub(super) fn advance(
        &self,
        (stream, number): (u32, u32),
        step: &Move,
    ) -> rusqlite::Result<()> {
        self.database
            .prepare_cached("UPDATE consumer SET next = ? WHERE stream = ? AND number = ?")?
            .execute(params![int(step.next), stream, number])?;
        for (sequence, attempt) in &step.out {
            self.database
                .prepare_cached("INSERT OR REPLACE INTO delivered VALUES(?, ?, ?, ?)")?
                .execute(params![stream, number, int(*sequence), attempt])?;
        }
        for sequence in &step.gone {
            self.database
                .prepare_cached(
                    "DELETE FROM delivered WHERE stream = ? AND consumer = ? AND sequence = ?",
                )?
                .execute(params![stream, number, int(*sequence)])?;
        }
        Ok(())
    }

    /// Writes a stream's declaration.
    pub(super) fn declare_stream(
        &self,
        number: u32,
        config: &StreamConfig,
    ) -> rusqlite::Result<()> {
        let kept = super::declared::stream_text(config);
        self.database.execute(
            "INSERT INTO stream(number, name, config) VALUES(?, ?, ?)",
            params![number, config.name, kept],
        )?;
        Ok(())
    }

    /// Writes a consumer's declaration; one that is known keeps its place.
    pub(super) fn declare_consumer(
        &self,
        (stream, number): (u32, u32),
        config: &ConsumerConfig,
        next: Option<u64>,
    ) -> rusqlite::Result<()> {
        let kept = super::declared::consumer_text(config);
        self.database.execute(
            "INSERT INTO consumer VALUES(?1, ?2, ?3, ?4)
             ON CONFLICT DO UPDATE SET config = excluded.config",
            params![stream, number, kept, int(next.unwrap_or_default())],
        )?;
        Ok(())
    }

    /// Changes something, so that there is a commit to wait for.
    pub(super) fn touch(&self) -> rusqlite::Result<()> {
        self.database
            .prepare_cached("UPDATE meta SET value = value + 1 WHERE name = 'syncs'")?
            .execute([])?;
        Ok(())
    }

    /// Writes how far the streams are that changed.
    pub(super) fn finish(&self) -> rusqlite::Result<()> {
        for (stream, head) in &self.heads {
            self.database
                .prepare_cached("UPDATE stream SET last = ?, messages = ? WHERE number = ?")?
                .execute(params![int(head.last), int(head.messages), stream])?;
        }
        Ok(())
    }

    fn known_id(&self, stream: u32, id: &str) -> rusqlite::Result<Option<u64>> {
        self.database
            .prepare_cached("SELECT sequence FROM id WHERE stream = ? AND id = ?")?
            .query_row(params![stream, id], |row| row.get(0).map(count))
            .optional()
    }

    fn remember(&self, stream: u32, id: &str, sequence: u64) -> rusqlite::Result<()> {
        self.database
            .prepare_cached("INSERT OR REPLACE INTO id VALUES(?, ?, ?)")?
            .execute(params![stream, id, int(sequence)])?;
        Ok(())
    }

    fn subject(&self, stream: u32, name: &str) -> rusqlite::Result<Option<i64>> {
        self.database
            .prepare_cached("SELECT number FROM subject WHERE stream = ? AND name = ?")?
            .query_row(params![stream, name], |row| row.get(0))
            .optional()
    }

    fn last_of(&self, subject: i64) -> rusqlite::Result<u64> {
        self.database
            .prepare_cached("SELECT key FROM message WHERE subject = ? ORDER BY key DESC LIMIT 1")?
            .query_row([subject], |row| row.get(0).map(sequence))
            .optional()
            .map(Option::unwrap_or_default)
    }
}

/// What consumers did that is not written yet, the later over the earlier.
#[derive(Debug, Default)]
pub(super) struct Owed(BTreeMap<(u32, u32), Moved>);

/// Where a consumer is, and the attempts of what is out; nothing for what is settled.
#[derive(Debug, Default)]
struct Moved {
    next: u64,
    out: BTreeMap<u64, Option<u32>>,
}

impl Owed {
    pub(super) fn add(&mut self, at: (u32, u32), step: Move) {
        let moved = self.0.entry(at).or_default();
        moved.next = step.next;
        let out = step
            .out
            .into_iter()
            .map(|(at, attempt)| (at, Some(attempt)));
        moved
            .out
            .extend(out.chain(step.gone.into_iter().map(|at| (at, None))));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn write(&self, change: &Change<'_>) -> rusqlite::Result<()> {
        for (at, moved) in &self.0 {
            let mut step = Move { next: moved.next, ..Move::default() };
            for (sequence, attempt) in &moved.out {
                match attempt {
                    Some(attempt) => step.out.push((*sequence, *attempt)),
                    None => step.gone.push(*sequence),
                }
            }
            change.advance(*at, &step)?;
        }
        Ok(())
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

/// A record of a message that was filed.
pub(super) fn shown(message: Message, sequence: u64, time: SystemTime) -> Record {
    let Message { subject, headers, payload, .. } = message;
    Record { subject: Arc::from(subject), headers, payload, sequence, time }
}
