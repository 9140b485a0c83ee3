use super::{
    bytes::Body,
    frame::{self, Frame},
    scan::{Found, Scan},
};
use std::{fs::File, io, path::Path};

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
/// The only version there was.
const VERSION: u64 = 1;

/// Why a file cannot be used.
#[derive(Debug)]
pub(in crate::bus::embedded::store) enum Fault {
    Io(io::Error),
    Damaged(String),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Shows all that a file holds, up to a torn end. Damage in the middle, which a
/// later mark vouches for, is refused.
pub(super) fn read(
    path: &Path,
    mut visit: impl FnMut(u64, &Frame<'_>) -> Result<(), String>,
) -> Result<(), Fault> {
    let mut scan = Scan::over(File::open(path)?)?;
    let mut key = None;
    while let Some(Found { position, frame }) = scan.next()? {
        match (position, frame.kind) {
            (0, START) => key = Some(checked(&frame)?),
            (_, MARK) => {}
            _ => visit(position, &frame).map_err(Fault::Damaged)?,
        }
    }
    let end = scan.position();
    let Some(key) = key else {
        return Err(Fault::Damaged("it does not start as it should".into()));
    };
    if let Some(vouched) = scan.later(|frame| mark_beyond(frame, end, key))? {
        let why = format!("it is damaged at byte {end}, and was whole up to byte {vouched} once");
        return Err(Fault::Damaged(why));
    }
    let length = std::fs::metadata(path)?.len();
    if end < length {
        let left = length - end;
        tracing::warn!(path = %path.display(), left, "leaving out a torn write");
    }
    Ok(())
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
fn checked(frame: &Frame<'_>) -> Result<u64, Fault> {
    let mut body = Body(frame.body);
    let found = body.u64();
    let key = body.u64().filter(|_| found == Some(VERSION));
    key.ok_or_else(|| {
        let found = found.unwrap_or_default();
        let why =
            format!("it is of version {found}, and this program takes over version {VERSION}");
        Fault::Damaged(why)
    })
}

/// Returns how far a mark vouches, if that is beyond a place.
fn mark_beyond(frame: &Frame<'_>, place: u64, key: u64) -> Option<u64> {
    let mut body = Body(frame.body);
    let synced = (frame.kind == MARK).then(|| body.u64())??;
    (body.u64() == Some(key) && synced > place).then_some(synced)
}
