use super::{
    file::{Fault, Framed, is_started},
    image::Image,
};
use crate::message::codec::EncodeError;
use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

const NAME: &str = "state";
const NEW: &str = "state.new";
const VERSION: u64 = 1;
/// How much may be written before the file is worth writing anew.
const ROOM: u64 = 4 * 1024 * 1024;

/// The image and its file, which is written anew when it grew out of proportion.
#[derive(Debug)]
pub(super) struct Ledger {
    folder: PathBuf,
    file: Framed,
    image: Image,
    /// How long the file was when it was written anew.
    fresh: u64,
}

/// Reads the image that the file in a folder holds; an empty one if there is none.
pub(super) fn load(folder: &Path) -> Result<Image, Fault> {
    let path = folder.join(NAME);
    let mut image = Image::default();
    if is_started(&path)? {
        Framed::open(&path, VERSION, |position, frame| {
            let strange = || format!("what stands at byte {position} makes no sense");
            image.read(frame).ok_or_else(strange)
        })?;
    }
    Ok(image)
}

impl Ledger {
    /// Writes an image as the file of a folder.
    pub(super) fn write(folder: &Path, image: Image) -> io::Result<Self> {
        let file = written(folder, &image)?;
        let fresh = file.len();
        Ok(Self { folder: folder.into(), file, image, fresh })
    }

    /// Changes the image and writes what changed.
    pub(super) fn note(
        &mut self,
        change: impl FnOnce(&mut Image, &mut Vec<u8>) -> Result<(), EncodeError>,
    ) -> io::Result<()> {
        let mut noted = Ok(());
        let image = &mut self.image;
        self.file
            .append(|buffer, _| noted = change(image, buffer))?;
        noted.map_err(io::Error::other)?;
        if self.file.len() > self.fresh.saturating_mul(4) + ROOM {
            self.file = written(&self.folder, &self.image)?;
            self.fresh = self.file.len();
        }
        Ok(())
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync()
    }
}

/// Writes a file beside the old one, then puts it in the old one's place.
fn written(folder: &Path, image: &Image) -> io::Result<Framed> {
    let (new, path) = (folder.join(NEW), folder.join(NAME));
    let file = Framed::create(&new, VERSION)?;
    let mut put = Ok(());
    file.append(|buffer, _| put = image.put(buffer))?;
    put.map_err(io::Error::other)?;
    file.sync()?;
    fs::rename(&new, &path)?;
    sync_folder(folder)?;
    Ok(file)
}

/// Makes sure that a folder's entries are on disk, where folders can be synced.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}
