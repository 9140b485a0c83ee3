use super::{interest::Part, lease::Lease, record::Record};
use crate::bus::{ReadError, Stored, names::is_one};
use std::{collections::VecDeque, fmt, io, sync::Arc};
use tokio::task::coop::consume_budget;

/// How many messages are looked at under one lock, and read at once.
const BATCH: usize = 256;

/// A finite read of one stream.
pub(in crate::bus) struct Reader {
    kept: Lease,
    part: Part,
    next: u64,
    end: u64,
    /// The messages that were chosen before, last first.
    chosen: Vec<u64>,
    found: VecDeque<Arc<Record>>,
}

impl Reader {
    pub(super) fn new(kept: Lease, filter: &str, from: u64) -> Self {
        let part = Part::of(filter, &kept.config().subjects);
        let mut end = kept.last_sequence();
        let mut chosen = Vec::new();
        if is_one(filter) && kept.disk().is_none() {
            chosen = kept.with_memory(|memory, _| {
                let back = memory.log.back(filter, end);
                back.take_while(|sequence| *sequence >= from).collect()
            });
            end = 0;
        }
        Self { kept, part, next: from.max(1), end, chosen, found: VecDeque::new() }
    }

    pub(super) fn of_partition(kept: Lease, partition: u32, from: u64) -> Self {
        let end = kept.last_sequence();
        let (next, part) = (from.max(1), Part::Partition(partition));
        Self { kept, part, next, end, chosen: Vec::new(), found: VecDeque::new() }
    }

    /// Reads the last message of each subject that matches.
    pub(super) fn of_last(kept: Lease, filter: &str) -> io::Result<Self> {
        let part = Part::of(filter, &kept.config().subjects);
        let mut chosen = kept.heads(&part)?;
        chosen.sort_unstable_by(|one, other| other.cmp(one));
        Ok(Self { kept, part, next: 1, end: 0, chosen, found: VecDeque::new() })
    }

    pub(in crate::bus) async fn next(&mut self) -> Result<Option<Stored>, ReadError> {
        consume_budget().await;
        while self.found.is_empty() && (self.next <= self.end || !self.chosen.is_empty()) {
            self.fill()?;
        }
        Ok(self.found.pop_front().map(Record::give))
    }

    pub(in crate::bus) const fn end(&self) -> u64 {
        self.end
    }

    fn fill(&mut self) -> Result<(), ReadError> {
        if !self.chosen.is_empty() {
            let rest = self.chosen.len().saturating_sub(BATCH);
            let batch = self.chosen.split_off(rest).into_iter().rev();
            let found = self.kept.all_of(batch);
            self.found = found.map_err(|error| self.unavailable(&error))?;
            return Ok(());
        }
        let read = self.kept.read(&self.part, (self.next, self.end), BATCH);
        let (found, looked) = read.map_err(|error| self.unavailable(&error))?;
        self.found = found;
        self.next = looked + 1;
        Ok(())
    }

    fn unavailable(&self, error: &io::Error) -> ReadError {
        let stream = self.kept.config().name.clone();
        ReadError::Unavailable { stream, reason: error.to_string() }
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader")
            .field("stream", &self.kept.config().name)
            .field("next", &self.next)
            .field("end", &self.end)
            .finish_non_exhaustive()
    }
}
