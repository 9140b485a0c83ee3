use super::{
    Broken, Disk, MESSAGE, entry, frame, lock,
    queue::{Job, Needs, Waiter, Work},
};
use crate::{bus::embedded::kept::Kept, telemetry};
use std::{
    io, mem,
    sync::Arc,
    time::{Duration, Instant},
};

/// How long the moves of consumers are gathered.
const GATHER: Duration = Duration::from_millis(10);

/// Writes what waits, until the store is closed or fails.
pub(super) fn run(disk: &Disk) {
    let _end = End(disk);
    let mut writer = Writer { disk, moved: Vec::new(), write_at: None, sync_at: None };
    loop {
        let until = writer.write_at.into_iter().chain(writer.sync_at).min();
        let Work { jobs, waiters, moved, unsynced, closed, .. } = disk.queue.take(until);
        writer.note(moved, unsynced);
        let needs = waiters.iter().map(|waiter| waiter.needs).max();
        let needs = if closed { Some(Needs::Sync) } else { needs };
        if let Err(error) = writer.turn(&jobs, needs) {
            return tell(waiters, &Err(disk.fail(&error)));
        }
        let room = jobs.iter().map(|job| job.room).sum();
        drop(jobs);
        disk.queue.give_back(room);
        tell(waiters, &Ok(()));
        if closed {
            return;
        }
    }
}

struct Writer<'a> {
    disk: &'a Disk,
    moved: Vec<Arc<Kept>>,
    write_at: Option<Instant>,
    sync_at: Option<Instant>,
}

impl Writer<'_> {
    fn note(&mut self, moved: Vec<Arc<Kept>>, unsynced: bool) {
        let now = Instant::now();
        self.moved.extend(moved);
        if !self.moved.is_empty() {
            self.write_at.get_or_insert(now + GATHER);
        }
        if unsynced {
            self.sync_later(now);
        }
    }

    /// Writes and syncs what is due now or needed.
    fn turn(&mut self, jobs: &[Job], needs: Option<Needs>) -> io::Result<()> {
        self.append(jobs)?;
        let due = |at: Option<Instant>| at.is_some_and(|at| at <= Instant::now());
        if needs >= Some(Needs::Places) || due(self.write_at) {
            self.write_places()?;
            if needs == Some(Needs::Places) && self.disk.groups() {
                lock(&self.disk.ledger).sync()?;
            }
        }
        if needs == Some(Needs::Sync) || due(self.sync_at) {
            self.sync_at = None;
            self.disk.queue.syncing();
            self.disk.log.sync()?;
            lock(&self.disk.ledger).sync()?;
        }
        Ok(())
    }

    /// Appends messages in one write and one sync, then lets them be seen.
    fn append(&self, jobs: &[Job]) -> io::Result<()> {
        if jobs.is_empty() {
            return Ok(());
        }
        let mut places = Vec::with_capacity(jobs.len());
        self.disk.log.append(|buffer, end| {
            for job in jobs {
                places.push(end + buffer.len() as u64);
                frame::put(buffer, MESSAGE, |body| {
                    entry::put(body, job.stream, &job.record);
                });
            }
        })?;
        let start = Instant::now();
        self.disk.log.sync()?;
        metrics::histogram!(telemetry::STORE_SYNC_SECONDS).record(start.elapsed().as_secs_f64());
        for (job, place) in jobs.iter().zip(places) {
            job.kept.written(&job.record, place);
        }
        Ok(())
    }

    fn write_places(&mut self) -> io::Result<()> {
        self.write_at = None;
        for kept in mem::take(&mut self.moved) {
            let steps = kept.steps();
            if steps.is_empty() {
                continue;
            }
            lock(&self.disk.ledger).note(|image, buffer| {
                for (at, step) in steps {
                    image.advance(buffer, at, step);
                }
                Ok(())
            })?;
            self.sync_later(Instant::now());
        }
        Ok(())
    }

    fn sync_later(&mut self, now: Instant) {
        let lag = self.disk.options.durable().lag();
        self.sync_at.get_or_insert(now + lag);
    }
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
