use crate::bus::OpenError;
use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, Read, Write},
    path::Path,
};

const LOCK: &str = "lock";

/// A folder that no other store uses, in this process or another.
#[derive(Debug)]
pub(super) struct Held(File);

impl Held {
    /// Takes a folder for this process.
    pub(super) fn take(folder: &Path) -> Result<Self, OpenError> {
        let path = folder.join(LOCK);
        let failed =
            |error: io::Error| OpenError::Io { path: path.clone(), reason: error.to_string() };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::Error(error)) => return Err(failed(error)),
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // Where a locked file cannot be read, the holder stays unknown.
                drop(file.read_to_string(&mut holder));
                let holder = holder.trim().parse().ok();
                return Err(OpenError::InUse { path: folder.into(), holder });
            }
        }
        file.set_len(0).map_err(failed)?;
        writeln!(file, "{}", std::process::id()).map_err(failed)?;
        Ok(Self(file))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // A process that is being started shares the open file for a moment, so
        // closing it is not enough.
        if let Err(error) = self.0.unlock() {
            tracing::warn!(%error, "the store's lock stays until the process ends");
        }
    }
}
