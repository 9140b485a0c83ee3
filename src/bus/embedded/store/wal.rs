//! Looks at the write-ahead log before `SQLite` does, which takes what is whole
//! at its beginning and leaves out the rest without a word.
//!
//! A write that was cut off is at the end: nothing was committed behind it. If
//! there is, the log was damaged, and more would be lost than what nobody relied on.

use super::database::FILE;
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// The size of the log's header.
const HEADER: usize = 32;
/// The size of what stands before each page.
const FRAME: usize = 24;
/// How the header begins; the last bit says in which order the checksums take bytes.
const MAGIC: u32 = 0x377F_0682;

/// Damage in the middle of a write-ahead log.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Damage {
    /// The log.
    pub(super) file: PathBuf,
    /// How many bytes before it are whole and would be taken.
    pub(super) whole: usize,
    /// How many bytes behind it were committed and would be left out.
    pub(super) behind: usize,
}

impl Damage {
    /// Says what is wrong and what can be done.
    pub(super) fn sentence(&self) -> String {
        let Self { file, whole, behind } = self;
        format!(
            "it is damaged at byte {whole}, and {behind} bytes of commits come after that; to go on \
             without these, cut it there: `truncate -s {whole} {}`",
            file.display()
        )
    }
}

/// Looks for damage in the log of a folder's database.
pub(super) fn damage(folder: &Path) -> io::Result<Option<Damage>> {
    let file = folder.join(format!("{FILE}-wal"));
    let bytes = match fs::read(&file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        bytes => bytes?,
    };
    let found = look(&bytes);
    if found.is_none()
        && let Some(bytes) = cut_off(&bytes).filter(|bytes| *bytes > 0)
    {
        let file = file.display();
        tracing::warn!(
            bytes,
            "a commit was cut off at the end of {file}, as when a process is killed at it, and is left out"
        );
    }
    Ok(found.map(|(whole, behind)| Damage { file, whole, behind }))
}

/// Returns how many bytes of commits are at the end of a sound log that were not written to
/// their ends.
fn cut_off(bytes: &[u8]) -> Option<usize> {
    let (header, rest) = bytes.split_at_checked(HEADER)?;
    let size = FRAME + usize::try_from(word(header, 8)?).ok()?;
    let salts = pair(header, 16)?;
    let ours = |frame: &&[u8]| pair(frame, 8) == Some(salts);
    let log: Vec<_> = rest.chunks(size).take_while(ours).collect();
    let is_end = |frame: &&[u8]| frame.len() == size && word(frame, 4) != Some(0);
    let ended = log.iter().rposition(is_end).map_or(0, |last| last + 1);
    Some(log.iter().skip(ended).map(|frame| frame.len()).sum())
}

/// Returns where the damage is and how much was committed behind it.
fn look(bytes: &[u8]) -> Option<(usize, usize)> {
    let (header, rest) = bytes.split_at_checked(HEADER)?;
    if rest.iter().all(|byte| *byte == 0) {
        return None;
    }
    let big = word(header, 0)? & 1 == 1;
    let page = usize::try_from(word(header, 8)?).ok()?;
    let known = word(header, 0)? & !1 == MAGIC && (512..=65_536).contains(&page);
    let mut sum = (0, 0);
    add(&mut sum, &header[..HEADER - 8], big);
    if !known || Some(sum) != pair(header, HEADER - 8) {
        return Some((0, rest.len()));
    }
    let salts = pair(header, 16)?;
    let frames = || rest.chunks_exact(FRAME + page);
    let whole = frames()
        .take_while(|frame| {
            add(&mut sum, &frame[..8], big);
            add(&mut sum, &frame[FRAME..], big);
            pair(frame, 8) == Some(salts) && pair(frame, 16) == Some(sum)
        })
        .count();
    // The frames behind that are of this log too, and which of them end a commit.
    let behind = frames().skip(whole + 1).enumerate();
    let ours = behind.filter(|(_, frame)| pair(frame, 8) == Some(salts));
    let ends: Vec<_> = ours
        .map(|(at, frame)| (at, word(frame, 4) != Some(0)))
        .collect();
    let first_end = ends.iter().find(|(_, is_end)| *is_end)?.0;
    let last = ends.last()?.0;
    let broken_ends = frames().nth(whole).and_then(|frame| word(frame, 4)) != Some(0);
    // One commit may be cut off; if another follows it, it was whole once.
    (broken_ends || last > first_end).then(|| {
        let at = |frames: usize| HEADER + frames * (FRAME + page);
        (at(whole), at(whole + 2 + last) - at(whole))
    })
}

/// Goes on with a checksum.
fn add((one, two): &mut (u32, u32), bytes: &[u8], big: bool) {
    let word = |four: &[u8]| {
        let four = four.try_into().unwrap_or_default();
        if big {
            u32::from_be_bytes(four)
        } else {
            u32::from_le_bytes(four)
        }
    };
    for eight in bytes.chunks_exact(8) {
        *one = one.wrapping_add(word(&eight[..4])).wrapping_add(*two);
        *two = two.wrapping_add(word(&eight[4..])).wrapping_add(*one);
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let four = bytes.get(at..at + 4)?.try_into().ok()?;
    Some(u32::from_be_bytes(four))
}

fn pair(bytes: &[u8], at: usize) -> Option<(u32, u32)> {
    Some((word(bytes, at)?, word(bytes, at + 4)?))
}
