use super::{
    cursor::Turn,
    declared,
    durable::{Durable, Look},
    interest::{Interest, Part},
    lock,
    log::{Limits, Log, Outcome, Record},
    pattern::Pattern,
};
use crate::bus::{
    ConsumerConfig, ConsumerError, Expect, Message, Start, StreamConfig, StreamInfo, partition,
};
use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex},
    time::SystemTime,
};
use tokio::{sync::Notify, time::Instant};

/// One stream: its log and its consumers behind one lock.
pub(super) struct Kept {
    config: StreamConfig,
    subjects: Vec<Pattern>,
    state: Mutex<State>,
}

struct State {
    log: Log,
    durables: Vec<Durable>,
    names: HashMap<String, usize>,
    interest: Interest,
    handles: u64,
}

/// Which consumer of a stream, and which handle to it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seat {
    pub(super) durable: usize,
    pub(super) handle: u64,
}

/// What a handle finds when it looks for a message.
pub(super) enum Found {
    Message(Arc<Record>, Turn),
    Nothing { until: Option<Instant> },
}

impl Kept {
    pub(super) fn new(config: StreamConfig) -> Self {
        let limits = Limits {
            max_messages: config.max_messages,
            duplicate_window: config.duplicate_window,
        };
        Self {
            subjects: config.subjects.iter().map(|at| Pattern::new(at)).collect(),
            config,
            state: Mutex::new(State {
                log: Log::new(limits),
                durables: Vec::new(),
                names: HashMap::new(),
                interest: Interest::default(),
                handles: 0,
            }),
        }
    }

    pub(super) const fn config(&self) -> &StreamConfig {
        &self.config
    }

    pub(super) fn captures(&self, subject: &str) -> bool {
        self.subjects.iter().any(|at| at.matches(subject))
    }

    /// Stores a message and wakes who waits for it.
    pub(super) fn append(&self, message: Message, expect: Expect, time: SystemTime) -> Outcome {
        let partition = self.partition(&message.subject);
        let now = Instant::now();
        let mut state = lock(&self.state);
        let outcome = state.log.append(message, expect, now, time);
        if let Outcome::Stored { sequence } = outcome {
            state.offer(sequence, partition, now);
        }
        outcome
    }

    /// Looks something up in the log.
    pub(super) fn with_log<T>(&self, look: impl FnOnce(&Log) -> T) -> T {
        look(&lock(&self.state).log)
    }

    pub(super) fn info(&self) -> StreamInfo {
        let last_sequence = self.with_log(Log::last);
        StreamInfo {
            name: self.config.name.clone(),
            subjects: self.config.subjects.clone(),
            messages: last_sequence,
            last_sequence,
        }
    }

    /// Makes a consumer or takes up the one of that name, and gives it a handle.
    pub(super) fn seat(&self, config: &ConsumerConfig) -> Result<Seat, ConsumerError> {
        let part = declared::part(config, &self.config)?;
        let mut state = lock(&self.state);
        state.handles += 1;
        let handle = state.handles;
        let known = state.names.get(&config.name).copied();
        let durable = if let Some(durable) = known {
            state.take_up(durable, config)?
        } else {
            let backlog = self.backlog(&state.log, config.start, &part);
            state.make(config, part, backlog)
        };
        drop(state);
        Ok(Seat { durable, handle })
    }

    /// Takes a message for a handle, or lets the handle wait for one.
    pub(super) fn look(&self, seat: Seat, wake: &Arc<Notify>) -> Found {
        let now = Instant::now();
        lock(&self.state).look(seat, wake, now)
    }

    /// Changes a consumer and wakes who can go on then.
    pub(super) fn change(&self, durable: usize, change: impl FnOnce(&mut Durable, Instant)) {
        let now = Instant::now();
        lock(&self.state).change(durable, |durable| {
            change(durable, now);
            durable.nudge(now);
        });
    }

    /// Returns how many messages its consumers have not settled.
    #[cfg(feature = "test-util")]
    pub(super) fn unsettled(&self) -> usize {
        let now = Instant::now();
        lock(&self.state)
            .durables
            .iter_mut()
            .map(|durable| durable.cursor.unsettled(now))
            .sum()
    }

    /// Returns what of the log a new consumer has before it.
    fn backlog(&self, log: &Log, start: Start, part: &Part) -> VecDeque<u64> {
        let from = match start {
            Start::First => 1,
            Start::Sequence(sequence) => sequence,
            Start::New => log.last() + 1,
        };
        let wanted = |subject| part.has(subject, self.partition(subject));
        log.from(from)
            .iter()
            .filter(|record| wanted(record.subject()))
            .map(|record| record.sequence())
            .collect()
    }

    fn partition(&self, subject: &str) -> Option<u32> {
        let count = self.config.partitions;
        let token = subject.rsplit('.').next()?;
        (count > 0).then(|| partition(token, count))
    }
}

impl State {
    /// Gives a stored message to the consumers that want it.
    fn offer(&mut self, sequence: u64, partition: Option<u32>, now: Instant) {
        let Some(record) = self.log.get(sequence) else {
            return;
        };
        for durable in self.interest.of(record.subject(), partition) {
            let durable = &mut self.durables[durable];
            durable.cursor.offer(sequence);
            durable.nudge(now);
        }
    }

    fn look(&mut self, seat: Seat, wake: &Arc<Notify>, now: Instant) -> Found {
        match self.durables[seat.durable].look(seat.handle, wake, now) {
            Look::Wait { until } => Found::Nothing { until },
            Look::Taken(turn) => {
                let record = self.log.get(turn.sequence);
                let record = record.expect("a cursor holds sequences of its own log");
                Found::Message(Arc::clone(record), turn)
            }
        }
    }

    fn change(&mut self, durable: usize, change: impl FnOnce(&mut Durable)) {
        change(&mut self.durables[durable]);
    }

    fn take_up(&mut self, durable: usize, config: &ConsumerConfig) -> Result<usize, ConsumerError> {
        let known = &mut self.durables[durable];
        if let Some(difference) = known.differs(config) {
            let name = config.name.clone();
            return Err(ConsumerError::Differs { name, difference });
        }
        known.redeclare(config, Instant::now());
        Ok(durable)
    }

    fn make(&mut self, config: &ConsumerConfig, part: Part, backlog: VecDeque<u64>) -> usize {
        let durable = self.durables.len();
        self.durables.push(Durable::new(config, backlog));
        self.names.insert(config.name.clone(), durable);
        self.interest.add(part, durable);
        durable
    }
}
