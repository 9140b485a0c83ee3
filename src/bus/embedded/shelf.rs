use super::{
    log::Log,
    record::Record,
    store::{Disk, Spot},
};
use std::{collections::VecDeque, io, sync::Arc};

/// How much of the latest messages is kept in memory beside the disk, in bytes.
const RECENT: usize = 1024 * 1024;

/// Where the messages of one stream are.
#[derive(Debug)]
pub(super) enum Shelf {
    /// All in memory, but for what was replaced.
    Memory(Vec<Option<Arc<Record>>>),
    /// On disk, the latest also in memory.
    Disk(OnDisk),
}

/// The messages of a stream that is stored.
#[derive(Debug, Default)]
pub(super) struct OnDisk {
    /// Where each message stands, up to the last that may be seen.
    places: Vec<u64>,
    recent: VecDeque<Arc<Record>>,
    weight: usize,
}

/// A message, or where to read it.
#[derive(Debug)]
pub(super) enum Item {
    Here(Arc<Record>),
    There(Spot),
}

impl Shelf {
    pub(super) fn disk(places: Vec<u64>) -> Self {
        Self::Disk(OnDisk { places, ..OnDisk::default() })
    }

    /// Returns the last sequence that may be seen.
    pub(super) fn last(&self) -> u64 {
        match self {
            Self::Memory(records) => records.len() as u64,
            Self::Disk(disk) => disk.places.len() as u64,
        }
    }

    /// Returns a message that may be seen; the log knows its subject.
    pub(super) fn get(&self, sequence: u64, log: &Log) -> Option<Item> {
        let index = usize::try_from(sequence.checked_sub(1)?).ok()?;
        match self {
            Self::Memory(records) => records.get(index).cloned().flatten().map(Item::Here),
            Self::Disk(disk) => {
                let position = *disk.places.get(index)?;
                let here = disk.recent(sequence).cloned().map(Item::Here);
                here.or_else(|| {
                    let subject = Arc::clone(log.subject(sequence)?);
                    Some(Item::There(Spot { position, subject }))
                })
            }
        }
    }
}

impl OnDisk {
    /// Takes in a message that may not be seen yet.
    pub(super) fn push(&mut self, record: Arc<Record>) {
        self.weight += record.weight();
        self.recent.push_back(record);
    }

    /// Lets the next message be seen, which stands at this place.
    pub(super) fn show(&mut self, place: u64) {
        self.places.push(place);
        let seen = self.places.len() as u64;
        while self.weight > RECENT
            && let Some(oldest) = self.recent.pop_front_if(|oldest| oldest.sequence < seen)
        {
            self.weight -= oldest.weight();
        }
    }

    fn recent(&self, sequence: u64) -> Option<&Arc<Record>> {
        let first = self.recent.front()?.sequence;
        let index = usize::try_from(sequence.checked_sub(first)?).ok()?;
        self.recent.get(index)
    }
}

/// Drops a message that a newer one on its subject replaces; 0 for none.
pub(super) fn drop_replaced(records: &mut [Option<Arc<Record>>], sequence: u64) {
    let index = sequence
        .checked_sub(1)
        .and_then(|index| usize::try_from(index).ok());
    if let Some(record) = index.and_then(|index| records.get_mut(index)) {
        *record = None;
    }
}

/// Reads what is not in memory; the items are in order.
pub(super) fn all(items: Vec<Item>, disk: Option<&Disk>) -> io::Result<VecDeque<Arc<Record>>> {
    let spots: Vec<_> = items.iter().filter_map(Item::spot).cloned().collect();
    let Some(disk) = disk.filter(|_| !spots.is_empty()) else {
        return Ok(items.into_iter().filter_map(Item::here).collect());
    };
    let mut read = disk.fetch(&spots)?.into_iter();
    let records = items.into_iter().filter_map(|item| match item {
        Item::Here(record) => Some(record),
        Item::There(_) => read.next(),
    });
    Ok(records.collect())
}

impl Item {
    fn here(self) -> Option<Arc<Record>> {
        match self {
            Self::Here(record) => Some(record),
            Self::There(_) => None,
        }
    }

    const fn spot(&self) -> Option<&Spot> {
        match self {
            Self::Here(_) => None,
            Self::There(spot) => Some(spot),
        }
    }
}
