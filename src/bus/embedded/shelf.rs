use super::{log::Log, record::Record, store::Head, timers::Timers};
use std::{collections::VecDeque, sync::Arc};

/// How much of the latest messages is kept in memory beside the disk, in bytes.
const RECENT: usize = 1024 * 1024;

/// Where the messages of one stream are.
#[derive(Debug)]
pub(super) enum Shelf {
    /// All in memory.
    Memory(Box<InMemory>),
    /// In the store, the latest also in memory.
    Stored(Stored),
}

/// The messages of a stream in memory, and what is known of them.
#[derive(Debug)]
pub(super) struct InMemory {
    pub(super) log: Log,
    pub(super) timers: Timers,
    /// All messages, but for those that were replaced or deleted.
    pub(super) records: Vec<Option<Arc<Record>>>,
}

/// What is known without looking into the store.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) head: Head,
    recent: VecDeque<Arc<Record>>,
    weight: usize,
}

/// A message, or where to read it.
#[derive(Debug)]
pub(super) enum Item {
    Here(Arc<Record>),
    There(u64),
}

impl Shelf {
    /// Returns the last sequence that may be seen.
    pub(super) fn last(&self) -> u64 {
        match self {
            Self::Memory(memory) => memory.log.last(),
            Self::Stored(stored) => stored.head.last,
        }
    }

    /// Returns a message, or that it is to be read.
    pub(super) fn get(&self, sequence: u64) -> Option<Item> {
        match self {
            Self::Memory(memory) => memory.get(sequence).map(Item::Here),
            Self::Stored(stored) => {
                let here = stored.recent(sequence).cloned().map(Item::Here);
                Some(here.unwrap_or(Item::There(sequence)))
            }
        }
    }
}

impl InMemory {
    pub(super) fn new(log: Log) -> Self {
        Self { log, timers: Timers::default(), records: Vec::new() }
    }

    pub(super) fn get(&self, sequence: u64) -> Option<Arc<Record>> {
        let index = usize::try_from(sequence.checked_sub(1)?).ok()?;
        self.records.get(index).cloned().flatten()
    }

    /// Drops a message that was replaced or deleted; 0 for none.
    pub(super) fn drop_record(&mut self, sequence: u64) {
        let index = sequence
            .checked_sub(1)
            .and_then(|index| usize::try_from(index).ok());
        if let Some(record) = index.and_then(|index| self.records.get_mut(index)) {
            *record = None;
        }
    }
}

impl Stored {
    pub(super) const fn new(head: Head) -> Self {
        Self { head, recent: VecDeque::new(), weight: 0 }
    }

    /// Takes in the messages that were committed, and forgets those that are gone.
    pub(super) fn committed(
        &mut self,
        records: &[Arc<Record>],
        removed: &[u64],
        head: Option<Head>,
    ) {
        self.head = head.unwrap_or(self.head);
        for record in records {
            self.weight += record.weight();
            self.recent.push_back(Arc::clone(record));
        }
        for sequence in removed {
            if let Some(at) = self.place(*sequence)
                && let Some(gone) = self.recent.remove(at)
            {
                self.weight -= gone.weight();
            }
        }
        while self.weight > RECENT
            && let Some(oldest) = self.recent.pop_front()
        {
            self.weight -= oldest.weight();
        }
    }

    fn recent(&self, sequence: u64) -> Option<&Arc<Record>> {
        self.recent.get(self.place(sequence)?)
    }

    fn place(&self, sequence: u64) -> Option<usize> {
        self.recent
            .binary_search_by_key(&sequence, |record| record.sequence)
            .ok()
    }
}
