use super::{interest::Part, kept::Kept, log::Record};
use crate::bus::{ReadError, Stored, names::is_one};
use std::{collections::VecDeque, fmt, sync::Arc};
use tokio::task::coop::consume_budget;

/// How many messages are looked at under one lock.
const BATCH: usize = 256;

/// A finite read of one stream.
pub(in crate::bus) struct Reader {
    kept: Arc<Kept>,
    part: Part,
    next: u64,
    end: u64,
    found: VecDeque<Arc<Record>>,
}

impl Reader {
    pub(super) fn new(kept: Arc<Kept>, filter: &str, from: u64) -> Self {
        let part = Part::of(filter, &kept.config().subjects);
        let (end, found) = kept.with_log(|log| {
            if !is_one(filter) {
                return (log.last(), VecDeque::new());
            }
            let mut found: VecDeque<_> = log.back_from_head(filter, from).cloned().collect();
            found.make_contiguous().reverse();
            (0, found)
        });
        Self { kept, part, next: from.max(1), end, found }
    }

    pub(in crate::bus) async fn next(&mut self) -> Result<Option<Stored>, ReadError> {
        consume_budget().await;
        while self.found.is_empty() && self.next <= self.end {
            self.fill();
        }
        Ok(self.found.pop_front().map(|record| record.stored()))
    }

    fn fill(&mut self) {
        self.kept.with_log(|log| {
            for record in log.from(self.next).iter().take(BATCH) {
                self.next = record.sequence() + 1;
                if record.sequence() <= self.end && self.part.has(record.subject(), None) {
                    self.found.push_back(Arc::clone(record));
                }
            }
        });
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
