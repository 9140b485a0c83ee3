use super::{
    bytes::{Body, put_u64},
    frame::{self, Frame},
    lock,
    scan::{Found, Scan},
};
use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    mem,
    path::Path,
    sync::Mutex,
};

/// The kind of the first frame; its body is the version of what follows, and
/// the file's key.
const START: u8 = 0;
/// The kind of a frame that says up to where the file was synced before it, and
/// repeats the key: no payload can pass for a mark.
const MARK: u8 = 1;
/// The first kind that is free for what a file is for.
pub(super) const FREE: u8 = 2;
/// How long a file is that holds nothing but its start.
const START_SIZE: u64 = frame::HEAD as u64 + 1 + 16;
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
    syncs: File,
    key: u64,
    tail: Mutex<Tail>,
}

#[derive(Debug)]
struct Tail {
    file: File,
    end: u64,
    synced: u64,
    marked: u64,
    buffer: Vec<u8>,
    /// Whether a write failed: nothing may follow what it left.
    failed: bool,
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
        let key = fastrand::u64(..);
        let framed = Self::over(path, file, key, (0, 0))?;
        framed.append(|buffer, _| {
            frame::put(buffer, START, |body| {
                put_u64(body, version);
                put_u64(body, key);
            });
        })?;
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
        let (mut key, mut marked) = (None, 0);
        while let Some(Found { position, frame }) = scan.next()? {
            match (position, frame.kind) {
                (0, START) => key = Some(checked(&frame, version)?),
                (_, MARK) => marked = Body(frame.body).u64().unwrap_or(marked),
                _ => visit(position, &frame).map_err(Fault::Damaged)?,
            }
        }
        let end = scan.position();
        let Some(key) = key else {
            return Err(Fault::Damaged("it does not start as it should".into()));
        };
        if let Some(vouched) = scan.later(|frame| mark_beyond(frame, end, key))? {
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
        Ok(Self::over(path, file, key, (end, marked))?)
    }

    fn over(path: &Path, file: File, key: u64, (end, marked): (u64, u64)) -> io::Result<Self> {
        let syncs = file.try_clone()?;
        let tail = Tail { file, end, synced: end, marked, buffer: Vec::new(), failed: false };
        Ok(Self { reads: File::open(path)?, syncs, key, tail: Mutex::new(tail) })
    }

    /// Appends frames in one write; they are given the place where they start.
    pub(super) fn append(&self, frames: impl FnOnce(&mut Vec<u8>, u64)) -> io::Result<()> {
        let mut guard = lock(&self.tail);
        let tail = &mut *guard;
        tail.buffer.clear();
        if tail.synced > tail.marked {
            frame::put(&mut tail.buffer, MARK, |body| {
                put_u64(body, tail.synced);
                put_u64(body, self.key);
            });
            tail.marked = tail.synced;
        }
        frames(&mut tail.buffer, tail.end);
        if mem::replace(&mut tail.failed, true) {
            return Err(io::Error::other("an earlier write failed"));
        }
        tail.file.write_all(&tail.buffer)?;
        tail.failed = false;
        tail.end += tail.buffer.len() as u64;
        tail.buffer.shrink_to(KEEP);
        drop(guard);
        Ok(())
    }

    /// Syncs what was appended by now; appends go on meanwhile.
    pub(super) fn sync(&self) -> io::Result<()> {
        let end = lock(&self.tail).end;
        self.syncs.sync_data()?;
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

/// Checks the version that a file starts with, and returns its key.
fn checked(frame: &Frame<'_>, version: u64) -> Result<u64, Fault> {
    let mut body = Body(frame.body);
    let found = body.u64();
    let key = body.u64().filter(|_| found == Some(version));
    key.ok_or_else(|| {
        let found = found.unwrap_or_default();
        let why = format!("it is of version {found}, and this program reads version {version}");
        Fault::Damaged(why)
    })
}

/// Returns how far a mark vouches, if that is beyond a place.
fn mark_beyond(frame: &Frame<'_>, place: u64, key: u64) -> Option<u64> {
    let mut body = Body(frame.body);
    let synced = (frame.kind == MARK).then(|| body.u64())??;
    (body.u64() == Some(key) && synced > place).then_some(synced)
}

#[cfg(unix)]
fn read_at(file: &File, buffer: &mut [u8], position: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, buffer, position)
}

#[cfg(windows)]
fn read_at(file: &File, buffer: &mut [u8], position: u64) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, buffer, position)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{env, fs, path::PathBuf, process};

    struct Scratch(PathBuf);

    impl Scratch {
        fn file(name: &str) -> Self {
            Self(env::temp_dir().join(format!("callboard-{}-{name}", process::id())))
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            drop(fs::remove_file(&self.0));
        }
    }

    fn put(file: &Framed, bytes: &[u8]) -> io::Result<()> {
        file.append(|buffer, _| frame::put(buffer, FREE, |body| body.extend_from_slice(bytes)))
    }

    fn bodies(path: &Path) -> Result<Vec<Vec<u8>>, Fault> {
        let mut found = Vec::new();
        Framed::open(path, 1, |_, frame| {
            found.push(frame.body.to_vec());
            Ok(())
        })?;
        Ok(found)
    }

    /// Writes one body after a sync and another behind it, and breaks the first.
    fn broken(scratch: &Scratch, second: &[u8], synced: bool) -> Result<(), Fault> {
        let file = Framed::create(&scratch.0, 1)?;
        put(&file, b"first")?;
        if synced {
            file.sync()?;
        }
        put(&file, second)?;
        let mut bytes = fs::read(&scratch.0)?;
        let first = bytes.windows(5).position(|window| window == b"first");
        bytes[first.expect("it was written")] ^= 1;
        Ok(fs::write(&scratch.0, bytes)?)
    }

    #[test]
    fn a_mark_vouches_for_what_is_before_it() -> Result<(), Fault> {
        let scratch = Scratch::file("vouched");
        broken(&scratch, b"second", true)?;
        assert!(matches!(bodies(&scratch.0), Err(Fault::Damaged(_))));
        broken(&scratch, b"second", false)?;
        assert_eq!(bodies(&scratch.0)?, Vec::<Vec<u8>>::new());
        Ok(())
    }

    #[test]
    fn a_payload_cannot_pass_for_a_mark() -> Result<(), Fault> {
        let scratch = Scratch::file("forged");
        let mut forged = Vec::new();
        frame::put(&mut forged, MARK, |body| {
            put_u64(body, u64::MAX);
            put_u64(body, 1);
        });
        broken(&scratch, &forged, false)?;
        assert_eq!(bodies(&scratch.0)?, Vec::<Vec<u8>>::new());
        Ok(())
    }

    #[test]
    fn another_version_is_refused() -> Result<(), Fault> {
        let scratch = Scratch::file("version");
        drop(Framed::create(&scratch.0, 2)?);
        assert!(matches!(bodies(&scratch.0), Err(Fault::Damaged(_))));
        Ok(())
    }
}
