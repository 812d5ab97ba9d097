//! Files of the log: read with a bound, written so that a name never means half a file.
//!
//! A file is written as `.assent/draft`, synced, and then takes its name in one step; the folders that got
//! a name are synced before the checkpoint that needs it is signed. `.assent` is the publisher's own: its
//! lock, its draft, and a copy of the checkpoint that was signed last.

use std::collections::BTreeSet;
use std::fs::{File, create_dir_all, read_dir, remove_dir_all, rename};
use std::io::{Error, ErrorKind, Read, Result, Write};
use std::path::{Path, PathBuf};

use assent_evidence::bundle;
use assent_evidence::publisher;
use assent_evidence::reader::Files;

use crate::pipeline::crash::crash_point;

/// The publisher's own folder.
pub(super) const OWN: &str = ".assent";
const DRAFT: &str = ".assent/draft";

/// The folder of a log.
#[derive(Clone, Debug)]
pub struct Folder {
    root: PathBuf,
}

impl Folder {
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    pub fn path(&self) -> &Path {
        &self.root
    }

    pub fn at(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// A file's bytes; `None`: there is none. One that is larger than any file of a log is an error.
    pub fn read_file(&self, path: &str) -> Result<Option<Vec<u8>>> {
        let file = match File::open(self.at(path)) {
            Ok(file) => file,
            Err(error) if is_absent(&error) => return Ok(None),
            Err(error) => return Err(named(path, &error)),
        };
        let mut bytes = Vec::new();
        let read = file.take(bundle::BYTES_MAX as u64 + 1).read_to_end(&mut bytes);
        read.map_err(|error| named(path, &error))?;
        if bytes.len() > bundle::BYTES_MAX {
            return Err(named(path, &Error::from(ErrorKind::FileTooLarge)));
        }
        Ok(Some(bytes))
    }

    /// Is there a tile or a bundle?
    pub fn has_tiles(&self) -> Result<bool> {
        match read_dir(self.at("tile")) {
            Ok(mut entries) => Ok(entries.next().is_some()),
            Err(error) if is_absent(&error) => Ok(false),
            Err(error) => Err(named("tile", &error)),
        }
    }

    /// Writes these files; when it returns, they outlast a loss of power.
    pub(super) fn write(&self, files: &[publisher::File]) -> Result<()> {
        let mut changed = BTreeSet::new();
        for publisher::File { path, bytes } in files {
            self.make_folders(path, &mut changed)?;
            self.draft(bytes)?;
            crash_point("publish_file_written");
            rename(self.at(DRAFT), self.at(path)).map_err(|error| named(path, &error))?;
            crash_point("publish_file_named");
        }
        changed.iter().try_for_each(|folder| sync(folder))?;
        crash_point("publish_files_synced");
        Ok(())
    }

    /// Replaces a file directly in the folder.
    pub(super) fn write_checkpoint(&self, name: &str, bytes: &[u8]) -> Result<()> {
        self.draft(bytes)?;
        rename(self.at(DRAFT), self.at(name)).map_err(|error| named(name, &error))?;
        sync(&self.root)
    }

    /// Writes a file of the publisher's own.
    pub(super) fn write_own(&self, own: &str, bytes: &[u8]) -> Result<()> {
        self.draft(bytes)?;
        rename(self.at(DRAFT), self.at(own)).map_err(|error| named(own, &error))?;
        sync(&self.at(OWN))
    }

    /// Removes a folder of files that nobody needs; what can't be removed stays, and harms nobody.
    pub(super) fn remove(&self, folder: &str) {
        if let Err(error) = remove_dir_all(self.at(folder))
            && !is_absent(&error)
        {
            tracing::warn!(folder, %error, "can't remove partial tiles that are full now");
        }
    }

    fn draft(&self, bytes: &[u8]) -> Result<()> {
        let write = || {
            let mut draft = File::create(self.at(DRAFT))?;
            draft.write_all(bytes)?;
            draft.sync_all()
        };
        write().map_err(|error| named(DRAFT, &error))
    }

    /// Makes the folders above a file; `changed` gets each that will have a new name in it.
    fn make_folders(&self, path: &str, changed: &mut BTreeSet<PathBuf>) -> Result<()> {
        let file = self.at(path);
        let Some(folder) = file.parent() else { return Ok(()) };
        let missing = folder.ancestors().take_while(|it| !it.exists());
        let above: Vec<PathBuf> =
            missing.filter_map(|it| it.parent().map(Path::to_owned)).collect();
        create_dir_all(folder).map_err(|error| named(path, &error))?;
        changed.extend(above);
        changed.insert(folder.to_owned());
        Ok(())
    }
}

impl Files for &Folder {
    type Error = Error;

    fn read(&mut self, path: &str) -> Result<Option<Vec<u8>>> {
        self.read_file(path)
    }
}

pub(super) fn sync(folder: &Path) -> Result<()> {
    File::open(folder)?.sync_all()
}

/// A file stands where a folder should be, and the other way round: there is none of this name either.
fn is_absent(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

fn named(path: &str, error: &Error) -> Error {
    Error::new(error.kind(), format!("{path}: {error}"))
}
