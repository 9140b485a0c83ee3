//! The files of a store from before it was a database, which are read once to be
//! taken over.
//!
//! `log` holds the messages of all streams, `state` the declarations and the
//! places of consumers. Both are files of frames that prove themselves whole.

mod bytes;
mod entry;
mod file;
mod frame;
mod image;
mod scan;

pub(super) use entry::Entry;
pub(super) use file::Fault;
pub(super) use image::{Image, Place};

use std::path::Path;

/// The kind of a message's frame in the log.
const MESSAGE: u8 = file::FREE;

/// Reads declarations and places.
pub(super) fn state(folder: &Path) -> Result<Image, Fault> {
    let path = folder.join("state");
    let mut image = Image::default();
    if file::is_started(&path)? {
        file::read(&path, |position, frame| {
            let strange = || format!("what stands at byte {position} makes no sense");
            image.read(frame).ok_or_else(strange)
        })?;
    }
    Ok(image)
}

/// Shows all messages in their order, nothing for what is none, and counts them.
pub(super) fn log(
    folder: &Path,
    wanted: bool,
    mut visit: impl FnMut(u64, Option<Entry<'_>>) -> Result<(), String>,
) -> Result<u64, Fault> {
    let path = folder.join("log");
    if !file::is_started(&path)? {
        let why = "it is missing or empty, but there are streams";
        return if wanted {
            Err(Fault::Damaged(why.into()))
        } else {
            Ok(0)
        };
    }
    let mut count = 0;
    file::read(&path, |position, frame| {
        count += 1;
        let message = frame.kind == MESSAGE;
        visit(position, message.then(|| Entry::read(frame.body)).flatten())
    })?;
    Ok(count)
}
