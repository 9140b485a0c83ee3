use super::{
    durable::Durable,
    interest::Interest,
    lock,
    log::{Log, Outcome},
    pattern::Pattern,
    record::Record,
    shelf::{self, Item, Shelf},
    store::{Broken, Declared, Disk, Needs, Place},
    ticket::{Room, Ticket},
    timers::Timers,
};
use crate::{
    bus::{ConsumerError, Expect, Message, StreamConfig, StreamInfo, names::size, partition},
    time::Clock,
};
use std::{
    collections::{HashMap, VecDeque},
    fmt, io,
    sync::{Arc, Mutex, Weak},
};
use tokio::time::Instant;

/// One stream: its log and its consumers behind one lock, and where they are stored.
pub(super) struct Kept {
    config: StreamConfig,
    pub(super) clock: Clock,
    subjects: Vec<Pattern>,
    pub(super) state: Mutex<State>,
    pub(super) home: Option<Home>,
}

/// The store of a stream, its number there, and the stream itself.
pub(super) struct Home {
    pub(super) disk: Arc<Disk>,
    pub(super) number: u32,
    pub(super) me: Weak<Kept>,
}

pub(super) struct State {
    pub(super) log: Log,
    pub(super) timers: Timers,
    pub(super) shelf: Shelf,
    pub(super) durables: Vec<Durable>,
    pub(super) names: HashMap<String, usize>,
    pub(super) interest: Interest,
    pub(super) handles: u64,
    /// Whether the store was told that consumers moved.
    pub(super) told: bool,
}

impl Kept {
    /// Makes a stream in memory.
    pub(super) fn in_memory(config: StreamConfig, clock: Clock) -> Arc<Self> {
        let state = State::new(Log::new((&config).into()), Shelf::Memory(Vec::new()));
        Arc::new(Self::new((config, clock), state, None))
    }

    /// Makes a stream in a store.
    pub(super) fn stored(
        (config, clock): (StreamConfig, Clock),
        disk: Arc<Disk>,
        number: u32,
    ) -> Result<Arc<Self>, Broken> {
        disk.declare(&Declared::Stream(number, &config))?;
        let log = Log::new((&config).into());
        let shelf = Shelf::disk(Vec::new());
        Ok(Self::at_home(
            (config, clock),
            (disk, number),
            State::new(log, shelf),
        ))
    }

    /// Takes up a stream that a store holds.
    pub(super) fn restored(
        declared: (StreamConfig, Clock),
        home: (Arc<Disk>, u32),
        (log, places, timers): (Log, Vec<u64>, Timers),
        consumers: Vec<Place>,
    ) -> Result<Arc<Self>, ConsumerError> {
        let state = State { timers, ..State::new(log, Shelf::disk(places)) };
        let kept = Self::at_home(declared, home, state);
        let mut state = lock(&kept.state);
        for place in consumers {
            kept.resume(&mut state, place)?;
        }
        drop(state);
        Ok(kept)
    }

    fn at_home(
        declared: (StreamConfig, Clock),
        (disk, number): (Arc<Disk>, u32),
        state: State,
    ) -> Arc<Self> {
        Arc::new_cyclic(|me| {
            let home = Home { disk, number, me: Weak::clone(me) };
            Self::new(declared, state, Some(home))
        })
    }

    fn new((config, clock): (StreamConfig, Clock), state: State, home: Option<Home>) -> Self {
        let subjects = config.subjects.iter().map(|at| Pattern::new(at));
        let subjects = subjects.collect();
        Self { subjects, config, clock, state: Mutex::new(state), home }
    }

    pub(super) const fn config(&self) -> &StreamConfig {
        &self.config
    }

    pub(super) fn captures(&self, subject: &str) -> bool {
        self.subjects.iter().any(|at| at.matches(subject))
    }

    /// Returns its number in its store, if it is in one.
    pub(super) fn number(&self) -> Option<u32> {
        self.home.as_ref().map(|home| home.number)
    }

    pub(super) fn disk(&self) -> Option<&Disk> {
        self.home.as_ref().map(|home| &*home.disk)
    }

    /// Waits until there is room to append a message.
    pub(super) async fn room(&self, message: &Message) -> Room {
        match self.disk().filter(|disk| disk.groups()) {
            None => Room(0),
            Some(disk) => {
                let bytes = size(&message.headers, &message.payload);
                Room(disk.room(bytes).await.unwrap_or(0))
            }
        }
    }

    /// Stores a message and wakes who waits for it, now or once it is durable.
    pub(super) fn append(&self, message: Message, expect: Expect, room: Room) -> (Outcome, Ticket) {
        let now = Instant::now();
        let mut guard = lock(&self.state);
        let state = &mut *guard;
        if let Some(broken) = self.disk().and_then(Disk::failure) {
            return (Outcome::Stored { sequence: 0 }, Ticket::Broken(broken));
        }
        self.fire(state, now);
        let filed = self.file(state, message, expect, (now, room));
        drop(guard);
        filed
    }

    /// Files a message and keeps it.
    pub(super) fn file(
        &self,
        state: &mut State,
        message: Message,
        expect: Expect,
        (now, room): (Instant, Room),
    ) -> (Outcome, Ticket) {
        let expect = state.expectation(&message.subject, expect);
        let outcome = state.log.append(&message, expect, now);
        let Outcome::Stored { sequence } = outcome else {
            self.give_back(room);
            return (outcome, self.ticket_behind(state));
        };
        let subject = state.log.subject(sequence).map(Arc::clone);
        let Message { headers, payload, .. } = message;
        let record = Arc::new(Record {
            subject: subject.expect("it was filed in this moment"),
            headers,
            payload,
            sequence,
            time: self.clock.now(),
            previous: state.log.previous(sequence),
        });
        self.arm(state, &record);
        (outcome, self.shelve(state, record, now, room))
    }

    /// Lets a message be seen that was written at this place.
    pub(super) fn written(&self, record: &Record, place: u64) {
        let mut state = lock(&self.state);
        self.show(&mut state, record, place, Instant::now());
    }

    /// Looks something up in the log, up to the last sequence that may be seen.
    pub(super) fn with_log<T>(&self, look: impl FnOnce(&Log, u64) -> T) -> T {
        let state = lock(&self.state);
        look(&state.log, state.shelf.last())
    }

    /// Looks up some sequences, in order, and returns their messages.
    pub(super) fn records(
        &self,
        which: impl FnOnce(&Log, u64) -> Vec<u64>,
    ) -> io::Result<VecDeque<Arc<Record>>> {
        let state = lock(&self.state);
        let sequences = which(&state.log, state.shelf.last());
        let items = sequences.into_iter();
        let seen = items.filter(|sequence| !state.timers.hides(*sequence));
        let items = seen.filter_map(|sequence| state.shelf.get(sequence, &state.log));
        let items: Vec<_> = items.collect();
        drop(state);
        shelf::all(items, self.disk())
    }

    /// Returns the message that a handle found.
    pub(super) fn fetch(&self, item: Item) -> io::Result<Arc<Record>> {
        let record = shelf::all(vec![item], self.disk())?.pop_front();
        record.ok_or_else(|| io::Error::other("it is not there"))
    }

    pub(super) fn info(&self) -> StreamInfo {
        let state = lock(&self.state);
        let last_sequence = state.shelf.last();
        let held = state.log.held(last_sequence);
        let messages = held.saturating_sub(state.timers.hidden());
        drop(state);
        StreamInfo {
            name: self.config.name.clone(),
            subjects: self.config.subjects.clone(),
            messages,
            last_sequence,
        }
    }

    /// Keeps a message; who waits for it is woken once it may be seen.
    fn shelve(&self, state: &mut State, record: Arc<Record>, now: Instant, room: Room) -> Ticket {
        let home = match (&mut state.shelf, &self.home) {
            (Shelf::Disk(disk), Some(home)) => {
                disk.push(Arc::clone(&record));
                home
            }
            (Shelf::Memory(records), _) => {
                if self.config.last_per_subject {
                    shelf::drop_replaced(records, record.previous);
                }
                records.push(Some(Arc::clone(&record)));
                self.offer(state, &record, now);
                return Ticket::Done;
            }
            (Shelf::Disk(_), None) => return Ticket::Done,
        };
        let disk = &home.disk;
        if disk.groups() {
            let kept = home.me.upgrade().expect("it is being used");
            return Ticket::Wait(disk.enqueue(kept, home.number, record, room.0));
        }
        match disk.append(home.number, &record) {
            Ok(place) => {
                self.show(state, &record, place, now);
                Ticket::Done
            }
            Err(broken) => Ticket::Broken(broken),
        }
    }

    fn show(&self, state: &mut State, record: &Record, place: u64, now: Instant) {
        if let Shelf::Disk(disk) = &mut state.shelf {
            disk.show(place);
        }
        self.offer(state, record, now);
    }

    /// Gives a message that may be seen to the consumers that want it.
    fn offer(&self, state: &mut State, record: &Record, now: Instant) {
        if state.timers.hides(record.sequence) {
            return;
        }
        let partition = self.partition(&record.subject);
        for durable in state.interest.of(&record.subject, partition) {
            let durable = &mut state.durables[durable];
            durable.cursor.offer(record.sequence);
            durable.nudge(now);
        }
    }

    /// What was decided rests on messages that may not be durable yet.
    fn ticket_behind(&self, state: &State) -> Ticket {
        match self.disk() {
            Some(disk) if state.log.last() > state.shelf.last() => {
                Ticket::Wait(disk.after(Needs::Messages))
            }
            _ => Ticket::Done,
        }
    }

    pub(super) fn give_back(&self, room: Room) {
        if let Some(disk) = self.disk() {
            disk.give_back(room.0);
        }
    }

    pub(super) fn partition(&self, subject: &str) -> Option<u32> {
        let count = self.config.partitions;
        let token = subject.rsplit('.').next()?;
        let is_filed = || self.subjects.len() == 1 || self.subjects[0].matches(subject);
        (count > 0 && is_filed()).then(|| partition(token, count))
    }
}

impl State {
    fn new(log: Log, shelf: Shelf) -> Self {
        Self {
            log,
            timers: Timers::default(),
            shelf,
            durables: Vec::new(),
            names: HashMap::new(),
            interest: Interest::default(),
            handles: 0,
            told: false,
        }
    }
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Kept({})", self.config.name)
    }
}
