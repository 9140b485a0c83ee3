use super::{
    bytes::{Body, put_u64},
    frame::{self, Frame},
    lock,
    scan::{Found, Scan},
};
use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    path::Path,
    sync::Mutex,
};

/// The kind of the first frame; its body is the version of what follows.
const START: u8 = 0;
/// The kind of a frame that says up to where the file was synced before it.
const MARK: u8 = 1;
/// The first kind that is free for what a file is for.
pub(super) const FREE: u8 = 2;
/// How long a file is that holds nothing but its start.
const START_SIZE: u64 = frame::HEAD as u64 + 1 + 8;
/// Up to what size a buffer is kept for the next write.
const KEEP: usize = 1024 * 1024;

/// A file of frames that only grows.
///
/// Behind every sync the next write first marks how far the file was synced.
/// So an end that was torn is told from damage in the middle: no mark vouches
/// for a torn end, and it is cut off; damage is never cut off.
#[derive(Debug)]
pub(super) struct Framed {
    reads: File,
    tail: Mutex<Tail>,
}

#[derive(Debug)]
struct Tail {
    file: File,
    end: u64,
    synced: u64,
    marked: u64,
    buffer: Vec<u8>,
}

/// Why a file cannot be used.
#[derive(Debug)]
pub(super) enum Fault {
    Io(io::Error),
    Damaged(String),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl Framed {
    /// Makes a file that holds nothing but its start, synced.
    pub(super) fn create(path: &Path, version: u64) -> io::Result<Self> {
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .open(path)?;
        let framed = Self::over(path, file, 0, 0)?;
        framed.append(|buffer, _| frame::put(buffer, START, |body| put_u64(body, version)))?;
        framed.sync()?;
        Ok(framed)
    }

    /// Opens a file, shows all it holds, and cuts off a torn end.
    pub(super) fn open(
        path: &Path,
        version: u64,
        mut visit: impl FnMut(u64, &Frame<'_>) -> Result<(), String>,
    ) -> Result<Self, Fault> {
        let mut scan = Scan::over(File::open(path)?)?;
        let (mut started, mut marked) = (false, 0);
        while let Some(Found { position, frame }) = scan.next()? {
            match (position, frame.kind) {
                (0, START) => started = check_version(&frame, version)?,
                (_, MARK) => marked = Body(frame.body).u64().unwrap_or(marked),
                _ => visit(position, &frame).map_err(Fault::Damaged)?,
            }
        }
        let end = scan.position();
        if !started {
            return Err(Fault::Damaged("it does not start as it should".into()));
        }
        if let Some(vouched) = scan.later(|frame| mark_beyond(frame, end))? {
            let why =
                format!("it is damaged at byte {end}, and was whole up to byte {vouched} once");
            return Err(Fault::Damaged(why));
        }
        let file = OpenOptions::new().append(true).open(path)?;
        let length = file.metadata()?.len();
        if end < length {
            let cut = length - end;
            tracing::warn!(path = %path.display(), cut, "cutting off a torn write");
            file.set_len(end)?;
        }
        // What is read from now on must not be lost later.
        file.sync_all()?;
        Ok(Self::over(path, file, end, marked)?)
    }

    fn over(path: &Path, file: File, end: u64, marked: u64) -> io::Result<Self> {
        let tail = Tail { file, end, synced: end, marked, buffer: Vec::new() };
        Ok(Self { reads: File::open(path)?, tail: Mutex::new(tail) })
    }

    /// Appends frames in one write; they are given the place where they start.
    pub(super) fn append(&self, frames: impl FnOnce(&mut Vec<u8>, u64)) -> io::Result<()> {
        let mut guard = lock(&self.tail);
        let tail = &mut *guard;
        tail.buffer.clear();
        if tail.synced > tail.marked {
            frame::put(&mut tail.buffer, MARK, |body| put_u64(body, tail.synced));
            tail.marked = tail.synced;
        }
        frames(&mut tail.buffer, tail.end);
        tail.file.write_all(&tail.buffer)?;
        tail.end += tail.buffer.len() as u64;
        tail.buffer.shrink_to(KEEP);
        drop(guard);
        Ok(())
    }

    /// Syncs what was appended by now; appends go on meanwhile.
    pub(super) fn sync(&self) -> io::Result<()> {
        let end = lock(&self.tail).end;
        self.reads.sync_data()?;
        let mut tail = lock(&self.tail);
        tail.synced = tail.synced.max(end);
        drop(tail);
        Ok(())
    }

    /// Reads bytes from a place on, fewer at the end of the file.
    pub(super) fn read(&self, position: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut read = 0;
        while read < buffer.len() {
            match read_at(&self.reads, &mut buffer[read..], position + read as u64) {
                Ok(0) => break,
                Ok(more) => read += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(read)
    }

    pub(super) fn len(&self) -> u64 {
        lock(&self.tail).end
    }
}

/// Whether a file got its start at all; without it nothing was ever in it.
pub(super) fn is_started(path: &Path) -> io::Result<bool> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        opened => opened?,
    };
    let longer = file.metadata()?.len() > START_SIZE;
    Ok(longer || Scan::over(file)?.next()?.is_some())
}

fn check_version(frame: &Frame<'_>, version: u64) -> Result<bool, Fault> {
    match Body(frame.body).u64() {
        Some(found) if found == version => Ok(true),
        found => {
            let found = found.map_or("no version".into(), |found| format!("version {found}"));
            let why = format!("it is of {found}, and this program reads version {version}");
            Err(Fault::Damaged(why))
        }
    }
}

/// Returns how far a mark vouches, if that is beyond a place.
fn mark_beyond(frame: &Frame<'_>, place: u64) -> Option<u64> {
    let synced = (frame.kind == MARK).then(|| Body(frame.body).u64())??;
    (synced > place).then_some(synced)
}

#[cfg(unix)]
fn read_at(file: &File, buffer: &mut [u8], position: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, buffer, position)
}

#[cfg(windows)]
fn read_at(file: &File, buffer: &mut [u8], position: u64) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, buffer, position)
}
