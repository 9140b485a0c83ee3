use super::{
    Broken, Disk,
    change::{Change, Fired, Head, Owed, Target, shown},
    database::{BUSY_TIMEOUT, Fault},
    lock,
    queue::{Act, Job, Needs, Waiter, Work},
};
use crate::{
    bus::embedded::{kept::Kept, log::Outcome, record::Record},
    telemetry,
};
use rusqlite::{OptionalExtension, params};
use std::{
    collections::HashMap,
    mem,
    sync::{Arc, Weak},
    time::{Duration, Instant, SystemTime},
};
use tokio::sync::oneshot::Sender;

/// How long the moves of consumers are gathered.
const GATHER: Duration = Duration::from_millis(10);
/// How long to wait before what found no room is tried again.
const AGAIN: Duration = Duration::from_secs(1);
/// How long the writer sleeps at most before it looks at the time of day, which
/// may be set, or pass while the machine sleeps.
const LONGEST: Duration = Duration::from_mins(1);
/// How often ids are forgotten whose windows are over.
const FORGET: Duration = Duration::from_secs(10);
/// How many pages the write-ahead log holds at most, as far as can be told, before
/// they are moved into the database: as many as that has, within these bounds. A
/// small one is so no larger for its log.
const LOG_PAGES: (usize, usize) = (512, 2_000);
/// How many it holds when the disk was full a while ago, and how long that is.
const SHORT: (usize, Duration) = (64, Duration::from_mins(10));
/// How many pages it may hold before readers are waited for.
const MOST_PAGES: i64 = 16_000;
/// How long they are waited for.
const READERS: Duration = Duration::from_millis(50);
/// How many free pages the database keeps.
const SPARE_PAGES: i64 = 256;
/// How many bytes of messages fill a page of the log.
const PAGE: usize = 3_000;

/// Writes what waits, until the store is closed or fails.
pub(super) fn run(disk: &Disk) {
    let _end = End(disk);
    let mut writer = Writer {
        disk,
        moved: Vec::new(),
        owed: Owed::default(),
        write_at: None,
        sync_at: None,
        tidy_at: None,
        held_until: None,
        forget_at: Instant::now(),
        timers: HashMap::new(),
        pages: LOG_PAGES.1,
        move_at: LOG_PAGES.1,
        short_until: None,
    };
    loop {
        let work = disk.queue.take(writer.until());
        let closed = work.closed;
        if writer.turn(work).is_err() || closed {
            return;
        }
    }
}

struct Writer<'a> {
    disk: &'a Disk,
    moved: Vec<Arc<Kept>>,
    owed: Owed,
    write_at: Option<Instant>,
    sync_at: Option<Instant>,
    tidy_at: Option<Instant>,
    /// Until when nothing is tried that nobody waits for, because there was no room.
    held_until: Option<Instant>,
    forget_at: Instant,
    /// When each stream has something to pass on.
    timers: HashMap<u32, (Arc<Kept>, SystemTime)>,
    /// About how many pages the write-ahead log holds.
    pages: usize,
    /// At how many of them they are moved next.
    move_at: usize,
    /// Until when the disk is taken for short of room.
    short_until: Option<Instant>,
}

/// What one transaction did.
#[derive(Default)]
struct Done {
    fired: Vec<(Arc<Kept>, u32, SystemTime, Vec<Fired>)>,
    answers: Vec<(Answer, SystemTime)>,
    heads: HashMap<u32, Head>,
    removed: Vec<(u32, u64)>,
    more_to_forget: bool,
}

#[derive(Clone, Copy)]
enum Answer {
    Filed(Outcome),
    TakenOut(bool),
}

/// Somebody who waits, and the answer.
enum Told {
    Filed(Sender<Result<Outcome, Broken>>, Outcome),
    TakenOut(Sender<Result<bool, Broken>>, bool),
}

impl Told {
    fn tell(self) {
        // Who waited may have given up.
        match self {
            Self::Filed(done, outcome) => drop(done.send(Ok(outcome))),
            Self::TakenOut(done, there) => drop(done.send(Ok(there))),
        }
    }
}

/// What to show of one stream.
struct Show {
    kept: Arc<Kept>,
    records: Vec<Arc<Record>>,
}

impl Writer<'_> {
    /// Says when there is something to do though nobody asks for it.
    fn until(&self) -> Option<Instant> {
        let now = Instant::now();
        let timers = self.timers.values().map(|(kept, due)| {
            let left = due.duration_since(kept.clock.now()).unwrap_or_default();
            now + left.min(LONGEST)
        });
        let unasked = timers.chain(self.write_at).chain(self.sync_at).min();
        let unasked = unasked.map(|at| self.held_until.map_or(at, |held| at.max(held)));
        unasked.into_iter().chain(self.tidy_at).min()
    }

    fn turn(&mut self, work: Work) -> Result<(), Broken> {
        let Work { jobs, waiters, moved, roused, closed } = work;
        let now = Instant::now();
        self.moved.extend(moved);
        if !self.moved.is_empty() {
            self.write_at.get_or_insert(now + GATHER);
        }
        if roused {
            self.look_at_timers(|_| true)?;
        }
        let needs = waiters.iter().map(|waiter| waiter.needs).max();
        let needs = if closed { Some(Needs::Sync) } else { needs };
        let held = self.held_until.is_some_and(|until| until > now);
        if needs.is_some() || (!held && is_due(self.write_at)) {
            self.gather();
        }
        let due = if held { Vec::new() } else { self.due() };
        let sync = needs == Some(Needs::Sync) || (!held && is_due(self.sync_at));
        let synced = sync || (self.disk.always() && (!jobs.is_empty() || needs.is_some()));
        let ended = if jobs.is_empty() && due.is_empty() && self.owed.is_empty() && !sync {
            Ok(())
        } else {
            self.write(jobs, &due, (synced, sync))
        };
        let ended = match ended {
            Err(Fault::Fatal(reason)) => Err(self.disk.fail(&reason)),
            Err(fault) => {
                let broken = self.disk.judge(fault);
                tell(waiters, &Err(broken));
                return self.tidy();
            }
            Ok(()) => Ok(()),
        };
        tell(waiters, &ended);
        ended?;
        self.tidy()
    }

    /// Collects what consumers did since the last time.
    fn gather(&mut self) {
        self.write_at = None;
        for kept in mem::take(&mut self.moved) {
            for (at, step) in kept.steps() {
                self.owed.add(at, step);
            }
        }
    }

    /// Returns the streams that have something to pass on.
    fn due(&self) -> Vec<(u32, Arc<Kept>)> {
        let due = |(kept, due): &(Arc<Kept>, SystemTime)| *due <= kept.clock.now();
        let all = self.timers.iter().filter(|(_, at)| due(at));
        all.map(|(stream, (kept, _))| (*stream, Arc::clone(kept)))
            .collect()
    }

    /// Writes everything in one transaction; if that finds no room, each job in
    /// one of its own.
    fn write(
        &mut self,
        jobs: Vec<Job>,
        due: &[(u32, Arc<Kept>)],
        (synced, sync): (bool, bool),
    ) -> Result<(), Fault> {
        let forget = Instant::now() >= self.forget_at;
        let began = Instant::now();
        let committed = lock(&self.disk.base).commit(synced, |change| {
            let mut done = Done::default();
            for (stream, kept) in due {
                let at = target(*stream, kept);
                done.fired
                    .push((Arc::clone(kept), *stream, at.now, change.fire(at)?));
            }
            for job in &jobs {
                done.answers.push(act(change, job)?);
            }
            self.owed.write(change)?;
            if forget {
                done.more_to_forget = change.forget(self.disk.clock.now())?;
            }
            // What is known already, or conflicts, writes nothing to wait for.
            if sync {
                change.touch()?;
            }
            done.heads.clone_from(&change.heads);
            done.removed = mem::take(&mut change.removed);
            Ok(done)
        });
        match committed {
            Ok(done) => {
                if synced {
                    let took = began.elapsed().as_secs_f64();
                    metrics::histogram!(telemetry::STORE_SYNC_SECONDS).record(took);
                }
                self.committed(&jobs, synced);
                if forget && !done.more_to_forget {
                    self.forget_at = Instant::now() + FORGET;
                }
                self.show(jobs, done);
                self.look_at_timers(|stream| due.iter().any(|(other, _)| *other == stream))
                    .map_err(|broken| Fault::Fatal(broken.0.as_ref().into()))
            }
            // The queue is ended with the store: who waits is told there.
            Err(fatal @ Fault::Fatal(_)) => Err(fatal),
            Err(fault) => {
                let later = Instant::now() + AGAIN;
                self.held_until = Some(later);
                if fault == Fault::NoRoom {
                    self.short_until = Some(Instant::now() + SHORT.1);
                    // What room there is goes to the database first.
                    self.move_at = 0;
                }
                // What consumers did is written once there is room.
                self.write_at.get_or_insert(later);
                self.one_by_one(jobs, &fault, synced)?;
                Err(fault)
            }
        }
    }

    /// Notes what a transaction leaves to do.
    fn committed(&mut self, jobs: &[Job], synced: bool) {
        let now = Instant::now();
        let bytes: usize = jobs.iter().map(|job| job.room as usize * 1024).sum();
        self.pages += 6 + 3 * jobs.len() + bytes / PAGE;
        self.owed.clear();
        self.held_until = None;
        if synced {
            self.sync_at = None;
        } else {
            let lag = self.disk.options.durable().lag();
            self.sync_at.get_or_insert(now + lag);
        }
    }

    /// Does each job in a transaction of its own, for a small one may find room
    /// where a large one did not.
    fn one_by_one(&mut self, jobs: Vec<Job>, fault: &Fault, synced: bool) -> Result<(), Fault> {
        for job in jobs {
            if matches!(fault, Fault::Passing(_)) {
                self.refuse(job, fault);
                continue;
            }
            let committed = lock(&self.disk.base).commit(synced, |change| {
                let mut done = Done::default();
                done.answers.push(act(change, &job)?);
                done.heads.clone_from(&change.heads);
                done.removed = mem::take(&mut change.removed);
                Ok(done)
            });
            match committed {
                Ok(done) => {
                    self.pages += 6;
                    if !synced {
                        let lag = self.disk.options.durable().lag();
                        self.sync_at.get_or_insert(Instant::now() + lag);
                    }
                    self.show(vec![job], done);
                }
                Err(fatal @ Fault::Fatal(_)) => return Err(fatal),
                Err(fault) => self.refuse(job, &fault),
            }
        }
        Ok(())
    }

    fn refuse(&self, job: Job, fault: &Fault) {
        self.disk.queue.give_back(job.room);
        job.act.refuse(match fault {
            Fault::NoRoom => Ok(Outcome::NoRoom),
            other => Err(self.disk.judge(other.clone())),
        });
    }

    /// Shows what was committed, then answers who waits.
    fn show(&mut self, jobs: Vec<Job>, done: Done) {
        let mut shows: HashMap<u32, Show> = HashMap::new();
        let show = |kept: &Arc<Kept>| Show { kept: Arc::clone(kept), records: Vec::new() };
        for (kept, stream, now, fired) in done.fired {
            let records = fired
                .into_iter()
                .map(|Fired { message, sequence }| Arc::new(shown(message, sequence, now)));
            let of = shows.entry(stream).or_insert_with(|| show(&kept));
            of.records.extend(records);
        }
        let mut room = 0;
        let mut answers = Vec::with_capacity(jobs.len());
        for (Job { kept, stream, act, room: taken }, (answer, now)) in
            jobs.into_iter().zip(done.answers)
        {
            room += taken;
            let of = shows.entry(stream).or_insert_with(|| show(&kept));
            match (act, answer) {
                (Act::Append { message, done, .. }, Answer::Filed(outcome)) => {
                    if let Outcome::Stored { sequence } = outcome {
                        let record = Arc::new(shown(message, sequence, now));
                        of.records.push(record);
                    }
                    answers.push(Told::Filed(done, outcome));
                }
                (Act::Cancel { done, .. } | Act::Delete { done, .. }, Answer::TakenOut(there)) => {
                    answers.push(Told::TakenOut(done, there));
                }
                (act, _) => act.refuse(Err(Broken("it was not answered".into()))),
            }
        }
        if !done.removed.is_empty() {
            self.tidy_at.get_or_insert(Instant::now() + AGAIN);
        }
        for (stream, Show { kept, records }) in shows {
            let of = done.removed.iter().filter(|(other, _)| *other == stream);
            let mut removed: Vec<_> = of.map(|(_, sequence)| *sequence).collect();
            removed.sort_unstable();
            kept.committed(records, &removed, done.heads.get(&stream).copied());
            if kept.config().schedules {
                self.look_at_timer(stream, &kept);
            }
        }
        self.disk.queue.give_back(room);
        answers.into_iter().for_each(Told::tell);
    }
}

impl Writer<'_> {
    /// Finds out when the streams have something to pass on next.
    fn look_at_timers(&mut self, wanted: impl Fn(u32) -> bool) -> Result<(), Broken> {
        let streams: Vec<(u32, Arc<Kept>)> = lock(&self.disk.streams)
            .iter()
            .filter(|(stream, _)| wanted(**stream))
            .filter_map(|(stream, kept)| Some((*stream, Weak::upgrade(kept)?)))
            .filter(|(_, kept)| kept.config().schedules)
            .collect();
        for (stream, kept) in streams {
            self.look_at_timer(stream, &kept);
        }
        self.disk.failure().map_or(Ok(()), Err)
    }

    fn look_at_timer(&mut self, stream: u32, kept: &Arc<Kept>) {
        let base = lock(&self.disk.base);
        let Some(database) = &base.connection else {
            return;
        };
        let next = database
            .prepare_cached("SELECT due FROM timer WHERE stream = ? ORDER BY due LIMIT 1")
            .and_then(|mut next| {
                next.query_row(params![stream], |row| row.get(0).map(super::entry::time))
                    .optional()
            });
        drop(base);
        match next {
            Ok(Some(due)) => drop(self.timers.insert(stream, (Arc::clone(kept), due))),
            Ok(None) => drop(self.timers.remove(&stream)),
            Err(error) => {
                self.disk.judge(Fault::of(&error));
            }
        }
    }

    /// Keeps the write-ahead log short, and gives free pages back.
    fn tidy(&mut self) -> Result<(), Broken> {
        if self.pages >= self.move_at {
            self.checkpoint()?;
        }
        if is_due(self.tidy_at) {
            self.tidy_at = None;
            let vacuumed = self.vacuum();
            if self.accept(vacuumed)?.is_none() {
                self.tidy_at = Some(Instant::now() + AGAIN);
            }
        }
        Ok(())
    }

    /// Moves the write-ahead log into the database, and gives its room back where there is
    /// little. What cannot be moved, because somebody reads it, is left until there is more.
    fn checkpoint(&mut self) -> Result<(), Broken> {
        let is_short = self.short_until.is_some_and(|end| end > Instant::now());
        let moved = match self.checkpoint_as("PASSIVE") {
            Ok(_) if is_short => self.checkpoint_as("TRUNCATE"),
            Ok(left) if left > MOST_PAGES => self.checkpoint_as("RESTART"),
            moved => moved,
        };
        match self.accept(moved)? {
            Some(left) => self.pages = usize::try_from(left).unwrap_or_default(),
            None => self.pages /= 2,
        }
        let (least, most) = LOG_PAGES;
        let size = self.size();
        let size = self.accept(size)?.unwrap_or(least);
        let more = if is_short {
            SHORT.0
        } else {
            size.clamp(least, most)
        };
        self.move_at = self.pages + more;
        Ok(())
    }

    /// Returns how many pages the database has.
    fn size(&self) -> rusqlite::Result<usize> {
        let base = lock(&self.disk.base);
        base.connection.as_ref().map_or(Ok(0), |database| {
            database.query_row("PRAGMA page_count", [], |row| {
                row.get::<_, u32>(0).map(|pages| pages as usize)
            })
        })
    }

    /// Returns how many pages of the log could not be moved.
    fn checkpoint_as(&self, how: &str) -> rusqlite::Result<i64> {
        let base = lock(&self.disk.base);
        let Some(database) = base.connection.as_ref() else {
            return Ok(0);
        };
        // Nothing is written as long as it waits for readers.
        database.busy_timeout(READERS)?;
        let left = database.query_row(&format!("PRAGMA wal_checkpoint({how})"), [], |row| {
            let (log, moved): (i64, i64) = (row.get(1)?, row.get(2)?);
            Ok(log - moved)
        });
        database.busy_timeout(BUSY_TIMEOUT)?;
        drop(base);
        left
    }

    fn vacuum(&mut self) -> rusqlite::Result<()> {
        let base = lock(&self.disk.base);
        let Some(database) = &base.connection else {
            return Ok(());
        };
        let free: i64 = database.query_row("PRAGMA freelist_count", [], |row| row.get(0))?;
        if free > SPARE_PAGES {
            let pages = (free - SPARE_PAGES).min(1_000);
            // Each step gives one page back.
            database
                .prepare(&format!("PRAGMA incremental_vacuum({pages})"))?
                .query_map([], |_| Ok(()))?
                .collect::<Result<(), _>>()?;
            drop(base);
            self.pages += usize::try_from(pages).unwrap_or_default();
            self.tidy_at = Some(Instant::now() + GATHER);
        }
        Ok(())
    }

    /// Goes on after what nobody waits for, unless the store cannot.
    fn accept<T>(&self, ended: rusqlite::Result<T>) -> Result<Option<T>, Broken> {
        match ended {
            Ok(ended) => Ok(Some(ended)),
            Err(error) => match Fault::of(&error) {
                Fault::Fatal(reason) => Err(self.disk.fail(&reason)),
                _ => Ok(None),
            },
        }
    }
}

fn target(stream: u32, kept: &Kept) -> Target<'_> {
    Target { number: stream, config: kept.config(), now: kept.clock.now() }
}

fn act(change: &mut Change<'_>, job: &Job) -> rusqlite::Result<(Answer, SystemTime)> {
    let at = target(job.stream, &job.kept);
    let answer = match &job.act {
        Act::Append { message, expect, .. } => Answer::Filed(change.append(at, message, *expect)?),
        Act::Cancel { subject, .. } => Answer::TakenOut(change.cancel(at, subject)?),
        Act::Delete { sequence, .. } => Answer::TakenOut(change.delete(at, *sequence)?),
    };
    Ok((answer, at.now))
}

fn is_due(at: Option<Instant>) -> bool {
    at.is_some_and(|at| at <= Instant::now())
}

fn tell(waiters: Vec<Waiter>, end: &Result<(), Broken>) {
    for waiter in waiters {
        // Who waited may have given up.
        drop(waiter.done.send(end.clone()));
    }
}

/// Ends the queue however the writer ends, so that nobody waits for it.
struct End<'a>(&'a Disk);

impl Drop for End<'_> {
    fn drop(&mut self) {
        let path = self.0.options.path().display();
        if std::thread::panicking() {
            self.0.broken(format!(
                "the writer of the store at {path} ended in a panic"
            ));
        }
        self.0.queue.end();
    }
}
