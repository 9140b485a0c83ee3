use super::frame::{self, Frame, Parsed};
use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
};

/// How much is read at once.
const CHUNK: usize = 1024 * 1024;

/// A walk over a file, frame by frame, up to its end or to what is not whole.
#[derive(Debug)]
pub(super) struct Scan {
    file: File,
    /// Where in the file the buffer starts.
    base: u64,
    buffer: Vec<u8>,
    at: usize,
}

#[derive(Debug)]
pub(super) struct Found<'a> {
    pub(super) position: u64,
    pub(super) frame: Frame<'a>,
}

enum Step {
    Frame(usize),
    More(usize),
    End,
}

impl Scan {
    pub(super) fn over(mut file: File) -> io::Result<Self> {
        file.seek(SeekFrom::Start(0))?;
        Ok(Self { file, base: 0, buffer: Vec::new(), at: 0 })
    }

    /// Returns the next frame, or nothing if what follows is not one.
    pub(super) fn next(&mut self) -> io::Result<Option<Found<'_>>> {
        loop {
            let step = match frame::parse(&self.buffer[self.at..]) {
                Parsed::Frame(frame) => Step::Frame(frame.size),
                Parsed::Short { size } => Step::More(size),
                Parsed::Broken => Step::End,
            };
            match step {
                Step::Frame(size) => {
                    let (start, position) = (self.at, self.position());
                    self.at += size;
                    let frame = Frame::proven(&self.buffer[start..start + size]);
                    return Ok(Some(Found { position, frame }));
                }
                Step::More(size) if self.fill(size)? => {}
                Step::More(_) | Step::End => return Ok(None),
            }
        }
    }

    /// Returns where the walk is.
    pub(super) const fn position(&self) -> u64 {
        self.base + self.at as u64
    }

    /// Looks for a whole frame anywhere behind this place, and returns what the
    /// first one that is wanted says.
    pub(super) fn later<T>(
        &mut self,
        wanted: impl Fn(&Frame<'_>) -> Option<T>,
    ) -> io::Result<Option<T>> {
        loop {
            while let Some(skip) = frame::next_magic(&self.buffer[self.at..]) {
                self.at += skip;
                if let Parsed::Short { size } = frame::parse(&self.buffer[self.at..])
                    && size <= CHUNK
                {
                    self.fill(size)?;
                }
                if let Parsed::Frame(frame) = frame::parse(&self.buffer[self.at..])
                    && let Some(found) = wanted(&frame)
                {
                    return Ok(Some(found));
                }
                self.at += 1;
            }
            // The start of a frame may be cut by the end of the buffer.
            self.at = self.at.max(self.buffer.len().saturating_sub(frame::HEAD));
            let seen = self.buffer.len() - self.at;
            self.fill(CHUNK)?;
            if self.buffer.len() - self.at == seen {
                return Ok(None);
            }
        }
    }

    /// Reads on until this many bytes are there, and says whether they are.
    fn fill(&mut self, wanted: usize) -> io::Result<bool> {
        if self.buffer.len() - self.at < wanted {
            self.buffer.drain(..self.at);
            self.base += self.at as u64;
            self.at = 0;
            let more = wanted.max(CHUNK) - self.buffer.len();
            self.file
                .by_ref()
                .take(more as u64)
                .read_to_end(&mut self.buffer)?;
        }
        Ok(self.buffer.len() - self.at >= wanted)
    }
}
