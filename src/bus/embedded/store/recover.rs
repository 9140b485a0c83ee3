use super::{
    Disk, Keeper, MESSAGE,
    entry::Entry,
    file::{Fault, Framed, is_started},
    frame::Frame,
    held::Held,
    image::{Image, Place},
    ledger::{self, Ledger, sync_folder},
    queue::Queue,
};
use crate::{
    bus::{
        ConsumerError, OpenError, Store, StreamConfig,
        embedded::{
            kept::Kept,
            log::Log,
            timers::{Mark, Timers},
        },
    },
    time::Clock,
};
use std::{
    collections::BTreeMap,
    fs, io,
    path::Path,
    sync::{Arc, Mutex, OnceLock},
    time::Duration,
};
use tokio::time::Instant;

const LOG: &str = "log";
const VERSION: u64 = 1;

/// A stream as it was found.
struct Recovered {
    config: StreamConfig,
    log: Log,
    places: Vec<u64>,
    timers: Timers,
}

/// Opens a store, makes it if it is not there, and returns its streams.
pub(in crate::bus::embedded) fn open(
    options: Store,
    clock: Clock,
) -> Result<(Arc<Keeper>, Vec<Arc<Kept>>), OpenError> {
    let path = options.path().to_path_buf();
    let failed = |error: io::Error| OpenError::Io { path: path.clone(), reason: error.to_string() };
    fs::create_dir_all(&path).map_err(failed)?;
    let held = Held::take(&path)?;
    let at = |file: &str| {
        let path = path.join(file);
        move |fault| match fault {
            Fault::Io(error) => OpenError::Io { path, reason: error.to_string() },
            Fault::Damaged(reason) => OpenError::Unreadable { path, reason },
        }
    };
    let mut image = ledger::load(&path).map_err(at("state"))?;
    let mut streams = recovered(&image);
    let log = log(&path, &mut streams, clock).map_err(at(LOG))?;
    for (number, stream) in &streams {
        image.clamp(*number, stream.log.last());
    }
    let places = image.consumers.clone();
    let ledger = Ledger::write(&path, image).map_err(failed)?;
    let disk = Disk {
        options,
        log,
        ledger: Mutex::new(ledger),
        queue: Queue::new(),
        failure: OnceLock::new(),
        _held: held,
    };
    let keeper = Arc::new(Keeper::start(disk).map_err(failed)?);
    let streams = kept(&keeper, streams, places, clock).map_err(|error| {
        let (path, reason) = (path.join("state"), error.to_string());
        OpenError::Unreadable { path, reason }
    })?;
    Ok((keeper, streams))
}

fn recovered(image: &Image) -> BTreeMap<u32, Recovered> {
    let empty = |config: &StreamConfig| Recovered {
        config: config.clone(),
        log: Log::new(config.into()),
        places: Vec::new(),
        timers: Timers::default(),
    };
    let streams = image.streams.iter();
    streams
        .map(|(number, config)| (*number, empty(config)))
        .collect()
}

/// Opens the log and takes in all messages.
fn log(
    folder: &Path,
    streams: &mut BTreeMap<u32, Recovered>,
    clock: Clock,
) -> Result<Framed, Fault> {
    let path = folder.join(LOG);
    if !is_started(&path)? {
        if !streams.is_empty() {
            let why = "it is missing or empty, but there are streams".into();
            return Err(Fault::Damaged(why));
        }
        let log = Framed::create(&path, VERSION)?;
        sync_folder(folder)?;
        return Ok(log);
    }
    let (now, wall) = (Instant::now(), clock.now());
    Framed::open(&path, VERSION, |position, frame| {
        let strange = || format!("what stands at byte {position} makes no sense");
        let entry = entry(frame).ok_or_else(strange)?;
        let stream = streams.get_mut(&entry.stream).ok_or_else(strange)?;
        let age = wall.duration_since(entry.time).unwrap_or_default();
        stream
            .take(position, &entry, (now, age))
            .ok_or_else(strange)
    })
}

fn entry<'a>(frame: &Frame<'a>) -> Option<Entry<'a>> {
    (frame.kind == MESSAGE).then(|| Entry::read(frame.body))?
}

impl Recovered {
    fn take(
        &mut self,
        position: u64,
        entry: &Entry<'_>,
        (now, age): (Instant, Duration),
    ) -> Option<()> {
        if entry.sequence != self.log.last() + 1 {
            return None;
        }
        let remembered = age < self.config.duplicate_window;
        let id = remembered.then(|| entry.id()).flatten();
        let stored = now.checked_sub(age).unwrap_or(now);
        self.log
            .restore(entry.subject, entry.previous, id.map(|id| (id, stored)))?;
        self.places.push(position);
        if self.config.schedules
            && let Some(mark) = Mark::of(|name| entry.header(name))
        {
            let subject = Arc::clone(self.log.subject(entry.sequence)?);
            self.timers.note(&subject, entry.sequence, &mark);
        }
        Some(())
    }
}

fn kept(
    keeper: &Arc<Keeper>,
    streams: BTreeMap<u32, Recovered>,
    mut places: BTreeMap<(u32, u32), Place>,
    clock: Clock,
) -> Result<Vec<Arc<Kept>>, ConsumerError> {
    let streams = streams.into_iter();
    streams
        .map(|(number, stream)| {
            let later = places.split_off(&(number, 0));
            let mut consumers = later;
            places = consumers.split_off(&(number + 1, 0));
            let consumers = consumers.into_values().collect();
            let home = (keeper.disk_shared(), number);
            let Recovered { config, log, places, timers } = stream;
            Kept::restored((config, clock), home, (log, places, timers), consumers)
        })
        .collect()
}
