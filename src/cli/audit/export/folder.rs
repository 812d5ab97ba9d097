//! The files of an export, each hashed as it is written.

use std::cell::RefCell;
use std::fs::{DirBuilder, File, OpenOptions, create_dir_all, read_dir};
use std::io::{BufWriter, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use assent_evidence::export::manifest;
use sha2::{Digest, Sha256};

use crate::failure::{Exit, Failure, Result};
use assent_contract::domain::hex::hex;

pub struct Folder {
    root: PathBuf,
    files: RefCell<Vec<manifest::File>>,
}

impl Folder {
    /// Of this user alone: it is theirs to hand on. Fails (64) where there is something already.
    pub fn new(root: &Path) -> Result<Self> {
        let refuse =
            |why: String| Failure::new(Exit::Usage, format!("--out {}: {why}", root.display()));
        match read_dir(root).map(|mut it| it.next().is_some()) {
            Ok(true) => {
                return Err(refuse(
                    "it is not empty; name a directory that does not exist".to_owned(),
                ));
            }
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(refuse(error.to_string()));
            }
            _ => {}
        }
        Ok(Self { root: root.to_owned(), files: RefCell::default() })
    }

    pub fn begin(&self, path: &str) -> Result<Draft<'_>> {
        let failed = |error: std::io::Error| self.failed(path, &error);
        let file = self.root.join(path);
        DirBuilder::new().recursive(true).mode(0o700).create(&self.root).map_err(failed)?;
        create_dir_all(file.parent().unwrap_or(&self.root)).map_err(failed)?;
        let file = OpenOptions::new().write(true).create_new(true).open(&file).map_err(failed)?;
        let (file, sha256) = (BufWriter::with_capacity(1 << 18, file), Sha256::new());
        Ok(Draft { folder: self, path: path.to_owned(), file, sha256, bytes: 0 })
    }

    pub fn put(&self, path: &str, bytes: &[u8]) -> Result<()> {
        let mut draft = self.begin(path)?;
        draft.write(bytes)?;
        draft.finish()
    }

    /// All that was written, by path.
    pub fn files(&self) -> Vec<manifest::File> {
        let mut files = self.files.borrow().clone();
        files.sort_by(|a, b| a.path.cmp(&b.path));
        files
    }

    fn failed(&self, path: &str, error: &std::io::Error) -> Failure {
        Failure::failed(format!("--out {}: {error}", self.root.join(path).display()))
    }
}

/// A file that is being written.
pub struct Draft<'a> {
    folder: &'a Folder,
    path: String,
    file: BufWriter<File>,
    sha256: Sha256,
    bytes: u64,
}

impl Draft<'_> {
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.sha256.update(bytes);
        self.bytes += bytes.len() as u64;
        let written = self.file.write_all(bytes);
        written.map_err(|error| self.folder.failed(&self.path, &error))
    }

    pub fn finish(mut self) -> Result<()> {
        let synced = self.file.flush().and_then(|()| self.file.get_ref().sync_all());
        synced.map_err(|error| self.folder.failed(&self.path, &error))?;
        let (path, bytes, sha256) = (self.path, self.bytes, hex(&self.sha256.finalize()));
        self.folder.files.borrow_mut().push(manifest::File { path, bytes, sha256 });
        Ok(())
    }
}
