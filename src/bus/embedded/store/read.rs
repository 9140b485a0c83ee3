use super::{
    Disk, MESSAGE,
    entry::Entry,
    file::Framed,
    frame::{self, Parsed},
};
use crate::bus::embedded::record::Record;
use std::{io, sync::Arc};

/// How far ahead messages that stand close together are read at once.
const AHEAD: u64 = 64 * 1024;
/// How much is read of a message whose size is not known.
const USUAL: u64 = 1024;

/// Where a message stands, and its subject.
#[derive(Clone, Debug)]
pub(in crate::bus::embedded) struct Spot {
    pub(in crate::bus::embedded) position: u64,
    pub(in crate::bus::embedded) subject: Arc<str>,
}

impl Disk {
    /// Reads messages whose places are in order.
    pub(in crate::bus::embedded) fn fetch(&self, spots: &[Spot]) -> io::Result<Vec<Arc<Record>>> {
        let mut window = Window { start: 0, bytes: Vec::new() };
        let records = spots.iter().enumerate().map(|(at, spot)| {
            let near = |next: &Spot| next.position < spot.position + AHEAD;
            let near = &spots[at..][..spots[at..].partition_point(near)];
            let ahead = near.last().map_or(0, |last| last.position - spot.position);
            self.one(&mut window, spot, ahead + USUAL)
                .map(Arc::new)
                .map_err(|error| self.unreadable(spot.position, &error))
        });
        records.collect()
    }

    fn one(&self, window: &mut Window, spot: &Spot, ahead: u64) -> io::Result<Record> {
        let frame = window.frame(&self.log, spot.position, ahead)?;
        let entry = match frame.kind {
            MESSAGE => Entry::read(frame.body),
            _ => None,
        };
        entry
            .and_then(|entry| entry.record(Arc::clone(&spot.subject)))
            .ok_or_else(|| io::Error::other("what stands there is no message"))
    }

    fn unreadable(&self, position: u64, error: &io::Error) -> io::Error {
        let path = self.options.path().display();
        io::Error::other(format!(
            "the store at {path} cannot be read at byte {position}: {error}; restore it from a copy"
        ))
    }
}

/// A part of the file.
struct Window {
    start: u64,
    bytes: Vec<u8>,
}

impl Window {
    fn frame(&mut self, file: &Framed, position: u64, ahead: u64) -> io::Result<frame::Frame<'_>> {
        let mut wanted = usize::try_from(ahead).unwrap_or(usize::MAX);
        let size = loop {
            match frame::parse(self.from(position)) {
                Parsed::Frame(frame) => break frame.size,
                Parsed::Short { size } => wanted = wanted.max(size),
                Parsed::Broken => return Err(io::Error::other("it is damaged")),
            }
            if self.start == position && self.bytes.len() >= wanted {
                return Err(io::Error::other("it is damaged"));
            }
            self.bytes.resize(wanted, 0);
            let read = file.read(position, &mut self.bytes)?;
            self.start = position;
            self.bytes.truncate(read);
            if read < wanted && matches!(frame::parse(&self.bytes), Parsed::Short { .. }) {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        };
        Ok(frame::Frame::proven(&self.from(position)[..size]))
    }

    fn from(&self, position: u64) -> &[u8] {
        let skip = position.checked_sub(self.start);
        skip.and_then(|skip| self.bytes.get(usize::try_from(skip).ok()?..))
            .unwrap_or_default()
    }
}
