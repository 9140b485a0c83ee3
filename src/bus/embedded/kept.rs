use super::{
    cursor::Turn,
    declared,
    durable::{Durable, Look},
    interest::Interest,
    lock,
    log::{Limits, Log, Outcome, Record},
    pattern::Pattern,
};
use crate::bus::{
    ConsumerConfig, ConsumerError, Expect, Message, Start, StreamConfig, StreamInfo, partition,
};
use std::{
    collections::HashMap,
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
        let now = Instant::now();
        let mut guard = lock(&self.state);
        let state = &mut *guard;
        let outcome = state.log.append(message, expect, now, time);
        let Outcome::Stored { sequence } = outcome else {
            return outcome;
        };
        let Some(record) = state.log.get(sequence) else {
            return outcome;
        };
        let partition = self.partition(record.subject());
        for durable in state.interest.of(record.subject(), partition) {
            let durable = &mut state.durables[durable];
            durable.cursor.offer(sequence);
            durable.nudge(now);
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
        let mut guard = lock(&self.state);
        let state = &mut *guard;
        state.handles += 1;
        let handle = state.handles;
        if let Some(&durable) = state.names.get(&config.name) {
            let known = &mut state.durables[durable];
            if let Some(difference) = known.differs(config) {
                let name = config.name.clone();
                return Err(ConsumerError::Differs { name, difference });
            }
            known.redeclare(config, Instant::now());
            return Ok(Seat { durable, handle });
        }
        let from = match config.start {
            Start::First => 1,
            Start::Sequence(sequence) => sequence,
            Start::New => state.log.last() + 1,
        };
        let there = state.log.from(from).iter();
        let backlog = there
            .filter(|record| part.has(record.subject(), self.partition(record.subject())))
            .map(|record| record.sequence())
            .collect();
        let durable = state.durables.len();
        state.durables.push(Durable::new(config, backlog));
        state.names.insert(config.name.clone(), durable);
        state.interest.add(part, durable);
        Ok(Seat { durable, handle })
    }

    /// Takes a message for a handle, or lets the handle wait for one.
    pub(super) fn look(&self, seat: Seat, wake: &Arc<Notify>) -> Found {
        let now = Instant::now();
        let mut guard = lock(&self.state);
        let state = &mut *guard;
        match state.durables[seat.durable].look(seat.handle, wake, now) {
            Look::Wait { until } => Found::Nothing { until },
            Look::Taken(turn) => {
                let record = state.log.get(turn.sequence);
                let record = record.expect("a cursor holds sequences of its own log");
                Found::Message(Arc::clone(record), turn)
            }
        }
    }

    /// Changes a consumer and wakes who can go on then.
    pub(super) fn change(&self, durable: usize, change: impl FnOnce(&mut Durable, Instant)) {
        let now = Instant::now();
        let mut state = lock(&self.state);
        let durable = &mut state.durables[durable];
        change(durable, now);
        durable.nudge(now);
    }

    /// Returns how many messages its consumers have not settled.
    pub(super) fn unsettled(&self) -> usize {
        let now = Instant::now();
        let mut state = lock(&self.state);
        let durables = state.durables.iter_mut();
        durables.map(|durable| durable.cursor.unsettled(now)).sum()
    }

    fn partition(&self, subject: &str) -> Option<u32> {
        let count = self.config.partitions;
        let token = subject.rsplit('.').next()?;
        (count > 0).then(|| partition(token, count))
    }
}
