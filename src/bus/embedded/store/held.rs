use super::database::FILE;
use crate::bus::OpenError;
use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read, Seek, Write},
    path::{Path, PathBuf},
};

const LOCK: &str = "lock";

/// A folder that no other store uses, in this process or another.
///
/// The folder itself is locked, which lasts as long as the folder. The file
/// `lock` says which process it is, and whether a store was kept here; programs
/// of before the database lock only that.
#[derive(Debug)]
pub(super) struct Held {
    file: File,
    folder: Option<File>,
    had_store: bool,
}

impl Held {
    /// Takes a folder for this process.
    pub(super) fn take(folder: &Path) -> Result<Self, OpenError> {
        let path = folder.join(LOCK);
        let failed =
            |error: io::Error| OpenError::Io { path: path.clone(), reason: error.to_string() };
        let locked = lock_folder(folder)?;
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
            Err(TryLockError::WouldBlock) => return Err(in_use(folder)),
        }
        let mut said = String::new();
        file.read_to_string(&mut said).map_err(failed)?;
        let had_store = said.lines().nth(1) == Some(FILE);
        let store = folder.join(FILE);
        if had_store && fs::metadata(&store).map_or(0, |store| store.len()) == 0 {
            let reason = "it is gone or empty, and a store was kept here".to_owned();
            return Err(OpenError::Unreadable { path: store, reason });
        }
        file.set_len(0).map_err(failed)?;
        file.rewind().map_err(failed)?;
        let mut held = Self { file, folder: locked, had_store: false };
        writeln!(held.file, "{}", std::process::id()).map_err(failed)?;
        if had_store {
            held.has_store().map_err(failed)?;
        }
        Ok(held)
    }

    /// Notes that a store is kept here, so that it is missed if it is gone.
    pub(super) fn has_store(&mut self) -> io::Result<()> {
        if !self.had_store {
            writeln!(self.file, "{FILE}")?;
            self.had_store = true;
        }
        Ok(())
    }
}

/// Locks a folder itself, where a folder can be opened.
fn lock_folder(folder: &Path) -> Result<Option<File>, OpenError> {
    if !cfg!(unix) {
        return Ok(None);
    }
    let failed =
        |error: io::Error| OpenError::Io { path: folder.into(), reason: error.to_string() };
    let opened = File::open(folder).map_err(failed)?;
    match opened.try_lock() {
        Ok(()) => Ok(Some(opened)),
        Err(TryLockError::Error(error)) => Err(failed(error)),
        Err(TryLockError::WouldBlock) => Err(in_use(folder)),
    }
}

fn in_use(folder: &Path) -> OpenError {
    let mut holder = String::new();
    // Where a locked file cannot be read, or was taken away, the holder stays unknown.
    if let Ok(mut file) = File::open(folder.join(LOCK)) {
        drop(file.read_to_string(&mut holder));
    }
    OpenError::InUse { path: folder.into(), holder: first(&holder) }
}

/// Returns the process that a lock file names.
fn first(said: &str) -> Option<u32> {
    said.lines().next()?.trim().parse().ok()
}

impl Drop for Held {
    fn drop(&mut self) {
        // A process that is being started shares the open files for a moment, so
        // closing them is not enough.
        for file in [Some(&self.file), self.folder.as_ref()]
            .into_iter()
            .flatten()
        {
            if let Err(error) = file.unlock() {
                tracing::warn!(%error, "the store's lock stays until the process ends");
            }
        }
    }
}

/// Makes a folder and those above it, so that they survive a loss of power.
pub(super) fn make_folder(folder: &Path) -> io::Result<()> {
    let missing: Vec<PathBuf> = folder
        .ancestors()
        .take_while(|at| !at.as_os_str().is_empty() && !at.exists())
        .map(Path::to_path_buf)
        .collect();
    fs::create_dir_all(folder)?;
    for made in missing {
        let above = made.parent().filter(|above| !above.as_os_str().is_empty());
        sync_folder(above.unwrap_or(Path::new(".")))?;
    }
    Ok(())
}

/// Makes sure that a folder's entries are on disk, where folders can be synced.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}
