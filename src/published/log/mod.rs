//! A log that is written to: by one publisher at a time, each step ending with a checkpoint in its place.
//!
//! A step, in its order, and what a crash leaves after each line:
//!
//! 1. tiles and bundles are written and synced: the old checkpoint, and files that it does not cover. The
//!    next run writes them anew, with whatever they then hold.
//! 2. the checkpoint in its place is still the one that this publisher put there, and the tree on the disk
//!    holds its tree: the same.
//! 3. the new checkpoint is signed and written as `.assent/checkpoint`, which stays: the next run puts it in
//!    its place, so that no tree that was signed is ever left for another one.
//! 4. a copy of it takes its place: the new checkpoint.
//! 5. partial tiles that were full in the tree before are removed: some of them, for good.

use std::fmt::Display;
use std::fs::{DirBuilder, File, OpenOptions, TryLockError, remove_file};
use std::path::Path;

use assent_evidence::checkpoint::Checkpoint;
use assent_evidence::note::{Signer, Verifier};
use assent_evidence::publisher::{Publisher, Sealed};
use assent_evidence::reader::{LogReader, extends};

use super::folder::{Folder, OWN, sync};
use crate::failure::{Failure, Result};
use crate::pipeline::crash::crash_point;

const CHECKPOINT: &str = "checkpoint";
const SIGNED: &str = ".assent/checkpoint";
const LOCK: &str = ".assent/lock";

/// The one publisher of a folder, for as long as it lives.
pub struct Log {
    folder: Folder,
    signer: Signer,
    /// The note that was put in its place last.
    note: Vec<u8>,
    checkpoint: Checkpoint,
    /// Holds the lock.
    _lock: File,
}

impl Log {
    /// Takes the folder over from whoever was there before, however they ended; makes a new one with an
    /// empty log where there is none. Fails (1) where another publisher runs, and where the log is not
    /// what its checkpoint signs.
    pub fn open(path: &Path, signer: Signer) -> Result<Self> {
        let folder = Folder::new(path);
        let lock = lock(&folder)?;
        let (note, checkpoint) = match newest(&folder, &signer.verifier())? {
            Some(newest) => newest,
            None => begin(&folder, &signer)?,
        };
        Ok(Self { folder, signer, note, checkpoint, _lock: lock })
    }

    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// Where these chains are, from the log's own entries.
    pub fn resume(&self, chains: &[String], progress: impl FnMut()) -> Result<Publisher> {
        let Checkpoint { size, root, .. } = &self.checkpoint;
        let read = || {
            let mut reader = LogReader::open(&self.folder, *size, root)?;
            Publisher::resume(&mut reader, chains, progress)
        };
        read().map_err(|why| refuse(&self.folder, &damaged(&why)))
    }

    /// How many bundles [`Self::resume`] reads at most.
    pub fn bundles(&self) -> u64 {
        self.checkpoint.size.div_ceil(assent_evidence::tile::WIDTH)
    }

    /// Publishes what was taken; `None`: that was nothing.
    pub fn publish(&mut self, publisher: &mut Publisher) -> Result<Option<u64>> {
        let Some((files, sealed)) = publisher.seal() else { return Ok(None) };
        self.folder.write(&files).map_err(|error| refuse(&self.folder, &error))?;
        self.prove(&sealed)?;
        crash_point("publish_tree_proved");
        let Sealed { size, root } = sealed;
        let checkpoint = Checkpoint { origin: self.signer.name().to_owned(), size, root };
        let note = self.signer.sign(&checkpoint.text()).into_bytes();
        put(&self.folder, &note)?;
        crash_point("publish_checkpoint_named");
        let added = size - self.checkpoint.size;
        (self.note, self.checkpoint) = (note, checkpoint);
        for outgrown in publisher.confirm(Sealed { size, root }) {
            self.folder.remove(&outgrown);
        }
        Ok(Some(added))
    }

    /// The tree on the disk holds the tree of the checkpoint that is there: the last one that was signed.
    fn prove(&self, new: &Sealed) -> Result<()> {
        if read(&self.folder, CHECKPOINT)?.as_ref() != Some(&self.note) {
            let why = "checkpoint: somebody else changed it; nothing was signed. Stop whoever else \
                publishes here, and start again";
            return Err(refuse(&self.folder, &why));
        }
        let old = &self.checkpoint;
        match extends(&self.folder, (old.size, &old.root), (new.size, &new.root)) {
            Ok(true) => Ok(()),
            Ok(false) => Err(refuse(
                &self.folder,
                &"the new tree does not extend the last one that was signed; nothing was signed",
            )),
            Err(why) => Err(refuse(&self.folder, &damaged(&why))),
        }
    }
}

/// Signed, and then in its place.
fn put(folder: &Folder, note: &[u8]) -> Result<()> {
    let put = || {
        folder.write_own(SIGNED, note)?;
        crash_point("publish_checkpoint_signed");
        folder.write_checkpoint(CHECKPOINT, note)
    };
    put().map_err(|error| refuse(folder, &error))
}

/// The last checkpoint that was signed, put in its place where a crash kept it from there; `None`: there is
/// none.
fn newest(folder: &Folder, verifier: &Verifier) -> Result<Option<(Vec<u8>, Checkpoint)>> {
    let read_signed = |path: &str| {
        let Some(note) = read(folder, path)? else { return Ok(None) };
        let checkpoint = open_checkpoint(&note, verifier);
        let checkpoint = checkpoint.map_err(|why| refuse(folder, &format!("{path}: {why}")))?;
        Ok(Some((note, checkpoint)))
    };
    let (Some(signed), in_place) = (read_signed(SIGNED)?, read_signed(CHECKPOINT)?) else {
        return read_signed(CHECKPOINT);
    };
    let Some(in_place) = in_place else {
        put(folder, &signed.0)?;
        return Ok(Some(signed));
    };
    let is_behind = in_place.1.size < signed.1.size;
    let (older, newer) = if is_behind { (in_place, signed) } else { (signed, in_place) };
    let (old, new) = (&older.1, &newer.1);
    match extends(folder, (old.size, &old.root), (new.size, &new.root)) {
        Ok(true) => {}
        Ok(false) => {
            let why =
                format!("{SIGNED} and {CHECKPOINT} are signed, and neither extends the other");
            return Err(refuse(folder, &why));
        }
        Err(why) => return Err(refuse(folder, &damaged(&why))),
    }
    if is_behind {
        put(folder, &newer.0)?;
    }
    Ok(Some(newer))
}

/// What a checkpoint says, if this key signed it. `Err`: why it can't be used, for a person.
pub fn open_checkpoint(
    note: &[u8],
    verifier: &Verifier,
) -> std::result::Result<Checkpoint, String> {
    let text = verifier.open(note).map_err(|fault| {
        format!("{fault} (key {}); use the key that signs this log", verifier.name())
    })?;
    Checkpoint::parse(text)
        .filter(|checkpoint| checkpoint.origin == verifier.name())
        .ok_or_else(|| "this is not a checkpoint of the log that the key is for".to_owned())
}

/// A new log's first checkpoint is that of no entries: a folder with tiles and without a checkpoint lost it.
fn begin(folder: &Folder, signer: &Signer) -> Result<(Vec<u8>, Checkpoint)> {
    let failed = |error: std::io::Error| refuse(folder, &error);
    if folder.has_tiles().map_err(failed)? {
        return Err(refuse(
            folder,
            &"there are tiles, but no checkpoint; put the checkpoint of this log back, or publish a new \
              log to another directory",
        ));
    }
    let (size, root) = (0, assent_evidence::hash::empty_root());
    let checkpoint = Checkpoint { origin: signer.name().to_owned(), size, root };
    let note = signer.sign(&checkpoint.text()).into_bytes();
    put(folder, &note)?;
    Ok((note, checkpoint))
}

fn lock(folder: &Folder) -> Result<File> {
    let failed = |error: std::io::Error| refuse(folder, &error);
    DirBuilder::new().recursive(true).create(folder.at(OWN)).map_err(failed)?;
    let options = OpenOptions::new().create(true).truncate(false).write(true).clone();
    let lock = options.open(folder.at(LOCK)).map_err(failed)?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let why = "another publisher writes to this directory; run one only, or set \
                audit.publish_dir to another directory";
            return Err(refuse(folder, &why));
        }
        Err(TryLockError::Error(error)) => return Err(failed(error)),
    }
    match remove_file(folder.at(".assent/draft")) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    sync(folder.path()).map_err(failed)?;
    Ok(lock)
}

fn read(folder: &Folder, path: &str) -> Result<Option<Vec<u8>>> {
    folder.read_file(path).map_err(|error| refuse(folder, &error))
}

fn damaged(why: &impl Display) -> String {
    format!(
        "{why}; nothing was signed. Restore the directory from a copy, or publish a new log to \
         another one"
    )
}

fn refuse(folder: &Folder, why: &impl Display) -> Failure {
    Failure::failed(format!("audit.publish_dir {}: {why}", folder.path().display()))
}

#[cfg(test)]
mod tests;
