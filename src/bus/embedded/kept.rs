use super::{
    durable::Durable,
    interest::{Interest, Part},
    lock,
    log::{Log, Outcome},
    pattern::Pattern,
    record::Record,
    shelf::{InMemory, Item, Shelf, Stored},
    store::{Broken, Disk, Head, Place},
    ticket::{Room, Ticket},
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

/// One stream: what is known of its messages and its consumers behind one lock,
/// and where it is stored.
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
        let memory = InMemory::new(Log::new((&config).into()));
        let state = State::new(Shelf::Memory(Box::new(memory)));
        Arc::new(Self::new((config, clock), state, None))
    }

    /// Makes a stream in a store.
    pub(super) fn stored(
        (config, clock): (StreamConfig, Clock),
        disk: Arc<Disk>,
        number: u32,
    ) -> Result<Arc<Self>, Broken> {
        disk.declare_stream(number, &config)?;
        let shelf = Shelf::Stored(Stored::new(Head::default()));
        let state = State::new(shelf);
        Ok(Self::at_home((config, clock), (disk, number), state))
    }

    /// Takes up a stream that a store holds.
    pub(super) fn restored(
        declared: (StreamConfig, Clock),
        home: (Arc<Disk>, u32),
        head: Head,
        consumers: Vec<Place>,
    ) -> Result<Arc<Self>, ConsumerError> {
        let state = State::new(Shelf::Stored(Stored::new(head)));
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
        let kept = Arc::new_cyclic(|me| {
            let home = Home { disk: Arc::clone(&disk), number, me: Weak::clone(me) };
            Self::new(declared, state, Some(home))
        });
        disk.register(number, &Arc::downgrade(&kept));
        kept
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
        match self.disk() {
            None => Room(0),
            Some(disk) => {
                let bytes = size(&message.headers, &message.payload);
                Room(disk.room(bytes).await.unwrap_or(0))
            }
        }
    }

    /// Stores a message and wakes who waits for it: in memory now, in a store
    /// once it is committed.
    pub(super) fn append(&self, message: Message, expect: Expect, room: Room) -> Ticket {
        if let Some(home) = &self.home {
            if let Some(broken) = home.disk.failure() {
                return Ticket::Broken(broken);
            }
            let kept = home.me.upgrade().expect("it is being used");
            let done = home
                .disk
                .append((kept, home.number), message, expect, room.0);
            return Ticket::Later(done);
        }
        let now = Instant::now();
        let mut guard = lock(&self.state);
        let state = &mut *guard;
        self.fire(state, now);
        let outcome = self.file(state, message, expect, now);
        drop(guard);
        Ticket::Now(outcome)
    }

    /// Lets messages be seen that were committed, and forgets those that are gone,
    /// which are in order.
    pub(super) fn committed(&self, records: Vec<Arc<Record>>, removed: &[u64], head: Option<Head>) {
        let now = Instant::now();
        let mut guard = lock(&self.state);
        let state = &mut *guard;
        if let Shelf::Stored(stored) = &mut state.shelf {
            stored.committed(&records, removed, head);
        }
        for record in records {
            if removed.binary_search(&record.sequence).is_err() {
                self.offer(state, &record, now);
            }
        }
        drop(guard);
    }

    /// Returns the last message on a subject.
    pub(super) fn last(&self, subject: &str) -> io::Result<Option<Arc<Record>>> {
        if let Some(home) = &self.home {
            return home.disk.last(home.number, subject);
        }
        Ok(self.with_memory(|memory, last| {
            let head = memory.log.back(subject, last).next();
            head.filter(|at| !memory.timers.hides(*at))
                .and_then(|at| memory.get(at))
        }))
    }

    /// Looks at so many messages between two sequences, both included, and
    /// returns those of a part, and up to which sequence it looked.
    pub(super) fn read(
        &self,
        part: &Part,
        (from, to): (u64, u64),
        limit: usize,
    ) -> io::Result<(VecDeque<Arc<Record>>, u64)> {
        let partitioned = matches!(part, Part::Partition(_));
        let wanted = |subject: &str| {
            let partition = partitioned.then(|| self.partition(subject));
            part.has(subject, partition.flatten())
        };
        if let Some(home) = &self.home {
            let at = home.number;
            let batch = match part {
                Part::Subject(subject) => home.disk.of_subject((at, subject), (from, to), limit),
                _ => home.disk.range(at, (from, to), limit, wanted),
            }?;
            return Ok((batch.records, batch.looked));
        }
        let last = to.min(from.saturating_add(limit as u64 - 1));
        let records = self.with_memory(|memory, seen| {
            let found = memory.log.matching(from, last, wanted);
            let found = found.filter(|at| !memory.log.is_replaced(*at, seen));
            memory.seen(found).collect()
        });
        Ok((records, last))
    }

    /// Returns the last message of each subject of a part, by sequence, in no order.
    pub(super) fn heads(&self, part: &Part) -> io::Result<Vec<u64>> {
        let partitioned = matches!(part, Part::Partition(_));
        let wanted = |subject: &str| {
            let partition = partitioned.then(|| self.partition(subject));
            part.has(subject, partition.flatten())
        };
        if let Some(home) = &self.home {
            return home.disk.heads(home.number, wanted);
        }
        Ok(self.with_memory(|memory, last| memory.log.heads(last, wanted)))
    }

    /// Returns the messages of these sequences that are there and seen.
    pub(super) fn all_of(
        &self,
        sequences: impl Iterator<Item = u64>,
    ) -> io::Result<VecDeque<Arc<Record>>> {
        let Some(home) = &self.home else {
            return Ok(self.with_memory(|memory, _| memory.seen(sequences).collect()));
        };
        let found = sequences.map(|sequence| home.disk.one(home.number, sequence));
        found.filter_map(Result::transpose).collect()
    }

    /// Looks something up in a stream that is in memory.
    pub(super) fn with_memory<T: Default>(&self, look: impl FnOnce(&InMemory, u64) -> T) -> T {
        let state = lock(&self.state);
        match &state.shelf {
            Shelf::Memory(memory) => look(memory, state.shelf.last()),
            Shelf::Stored(_) => T::default(),
        }
    }

    /// Returns the last sequence that may be seen.
    pub(super) fn last_sequence(&self) -> u64 {
        lock(&self.state).shelf.last()
    }

    /// Returns the message that a handle found; nothing if it is gone.
    pub(super) fn fetch(&self, item: Item) -> io::Result<Option<Arc<Record>>> {
        match (item, &self.home) {
            (Item::Here(record), _) => Ok(Some(record)),
            (Item::There(sequence), Some(home)) => home.disk.one(home.number, sequence),
            (Item::There(_), None) => Ok(None),
        }
    }

    pub(super) fn info(&self) -> StreamInfo {
        let state = lock(&self.state);
        let last_sequence = state.shelf.last();
        let messages = match &state.shelf {
            Shelf::Memory(memory) => {
                let held = memory.log.held(last_sequence);
                held.saturating_sub(memory.timers.hidden())
            }
            Shelf::Stored(stored) => stored.head.messages,
        };
        drop(state);
        StreamInfo {
            name: self.config.name.clone(),
            subjects: self.config.subjects.clone(),
            messages,
            last_sequence,
            immutable: self.config.immutable,
        }
    }

    /// Files a message in memory and wakes who waits for it.
    pub(super) fn file(
        &self,
        state: &mut State,
        message: Message,
        expect: Expect,
        now: Instant,
    ) -> Outcome {
        let Shelf::Memory(memory) = &mut state.shelf else {
            return Outcome::NoRoom;
        };
        let expect = memory.expectation(&message.subject, expect);
        let outcome = memory.log.append(&message, expect, now);
        let Outcome::Stored { sequence } = outcome else {
            return outcome;
        };
        let subject = memory.log.subject(sequence).map(Arc::clone);
        let previous = memory.log.previous(sequence);
        let Message { headers, payload, .. } = message;
        let record = Arc::new(Record {
            subject: subject.expect("it was filed in this moment"),
            headers,
            payload,
            sequence,
            time: self.clock.now(),
        });
        if self.config.last_per_subject {
            memory.drop_record(previous);
        }
        memory.records.push(Some(Arc::clone(&record)));
        self.arm(state, &record);
        self.offer(state, &record, now);
        outcome
    }

    /// Gives a message that may be seen to the consumers that want it.
    fn offer(&self, state: &mut State, record: &Record, now: Instant) {
        if let Shelf::Memory(memory) = &state.shelf
            && memory.timers.hides(record.sequence)
        {
            return;
        }
        let partition = self.partition(&record.subject);
        for durable in state.interest.of(&record.subject, partition) {
            let durable = &mut state.durables[durable];
            durable.cursor.offer(record.sequence);
            durable.nudge(now);
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
    fn new(shelf: Shelf) -> Self {
        Self {
            shelf,
            durables: Vec::new(),
            names: HashMap::new(),
            interest: Interest::default(),
            handles: 0,
            told: false,
        }
    }
}

impl InMemory {
    /// Returns the messages that are not hidden.
    pub(super) fn seen<'a>(
        &'a self,
        sequences: impl IntoIterator<Item = u64> + 'a,
    ) -> impl Iterator<Item = Arc<Record>> + 'a {
        let seen = sequences.into_iter().filter(|at| !self.timers.hides(*at));
        seen.filter_map(|at| self.get(at))
    }
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Kept({})", self.config.name)
    }
}
