//! Writes the keyset file: a crash at any step leaves the old file or the new one, whole.
//!
//! A change goes these ways, and nothing else touches the file:
//!
//! 1. the link is resolved, the target locked: two changes can't run at once
//! 2. a draft beside the target, under a name that nobody can guess, made with O_EXCL (which follows no
//!    link that was planted there), 0600 until it has the target's owner and permissions
//! 3. the draft is written and synced
//! 4. it takes the target's name, in one step
//! 5. the folder is synced, so that the name outlasts a loss of power
//!
//! A crash before 4 leaves a draft `.keyset-*`, readable by the owner alone; nothing reads it.

use std::fs::{DirBuilder, File, Metadata, Permissions, TryLockError};
use std::io::{Error, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, fchown};
use std::path::{Component, Path, PathBuf};

use tempfile::NamedTempFile;

use super::{open, parse, refuse};
use crate::failure::{Failure, Result};
use assent_contract::domain::pseudonym::Keyset;

/// A folder that is made for a keyset: its owner's, and the group may pass.
const FOLDER_MODE: u32 = 0o750;

/// Writes a new keyset, readable by its owner only; never over an existing file (78).
pub fn create_keyset(path: &Path, keyset: &Keyset) -> Result<()> {
    create_secret(
        path,
        keyset.to_json().as_bytes(),
        "a keyset exists and was not changed: with other keys, live pseudonyms could no longer be \
         removed; choose another file with --out",
    )
}

/// Writes a new file that its owner alone can read; `exists` is said where there is one already (78).
pub fn create_secret(path: &Path, secret: &[u8], exists: &str) -> Result<()> {
    let failed = |error: Error| refuse(path, &error.to_string());
    let folder = folder_of(path);
    let made = missing_folders(folder);
    DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(folder).map_err(failed)?;
    let draft = draft(folder, secret).map_err(failed)?;
    draft.as_file().sync_all().map_err(failed)?;
    draft.persist_noclobber(path).map_err(|refused| match refused.error.kind() {
        ErrorKind::AlreadyExists => refuse(path, exists),
        _ => failed(refused.error),
    })?;
    sync_folder(folder).map_err(failed)?;
    made.iter().try_for_each(|made| sync_folder(folder_of(made))).map_err(failed)
}

/// A keyset file that is being changed. It is locked for as long as this lives.
pub struct KeysetChange {
    /// As the configuration names it.
    path: PathBuf,
    /// What it is, once every link is followed.
    target: PathBuf,
    file: File,
}

impl KeysetChange {
    /// Locks and reads the file. Fails where another change runs, and where [`super::read_keyset`]
    /// would.
    pub fn begin(path: &Path) -> Result<(Self, Keyset)> {
        open(path)?;
        let target = path.canonicalize().map_err(|error| refuse(path, &error.to_string()))?;
        if is_mounted_by_kubernetes(&target) {
            return Err(unwritable(path, &target, "Kubernetes would undo the change"));
        }
        let file = open(&target)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(taken(path)),
            Err(TryLockError::Error(error)) => {
                return Err(refuse(path, &format!("the file can't be locked: {error}")));
            }
        }
        let change = Self { path: path.to_owned(), target, file };
        if !change.is_current() {
            return Err(taken(path)); // it was replaced before it was locked
        }
        let keyset = parse(&change.file, path)?;
        Ok((change, keyset))
    }

    /// Puts this keyset in the file's place, with the file's owner and permissions.
    pub fn finish(self, keyset: &Keyset) -> Result<()> {
        let folder = folder_of(&self.target);
        let failed = |error: Error| refuse(&self.path, &error.to_string());
        let unwritable = |error: Error| unwritable(&self.path, &self.target, &error.to_string());
        let old = self.file.metadata().map_err(failed)?;
        let draft = draft(folder, keyset.to_json().as_bytes()).map_err(unwritable)?;
        let new = draft.as_file();
        if !has_owner_of(&new.metadata().map_err(failed)?, &old) {
            fchown(new, Some(old.uid()), Some(old.gid())).map_err(|error| {
                refuse(
                    &self.path,
                    &format!(
                        "the owner of the file can't be kept ({error}); run the command as the \
                         owner"
                    ),
                )
            })?;
        }
        new.set_permissions(Permissions::from_mode(old.mode() & 0o777)).map_err(failed)?;
        new.sync_all().map_err(failed)?;
        if !self.is_current() {
            return Err(taken(&self.path));
        }
        draft.persist(&self.target).map_err(|refused| unwritable(refused.error))?;
        sync_folder(folder).map_err(failed)
    }

    /// Does the name still mean the file that is locked?
    fn is_current(&self) -> bool {
        let named = std::fs::symlink_metadata(&self.target);
        let (Ok(named), Ok(locked)) = (named, self.file.metadata()) else { return false };
        (named.dev(), named.ino()) == (locked.dev(), locked.ino())
    }
}

fn has_owner_of(new: &Metadata, old: &Metadata) -> bool {
    (new.uid(), new.gid()) == (old.uid(), old.gid())
}

/// A secret in a file of its own; removed again where it is not given a name.
fn draft(folder: &Path, secret: &[u8]) -> std::io::Result<NamedTempFile> {
    let mut draft = tempfile::Builder::new()
        .prefix(".keyset-")
        .permissions(Permissions::from_mode(0o600))
        .tempfile_in(folder)?;
    draft.write_all(secret)?;
    Ok(draft)
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn sync_folder(folder: &Path) -> std::io::Result<()> {
    File::open(folder)?.sync_all()
}

/// The folder and those above it that are not there yet.
fn missing_folders(folder: &Path) -> Vec<PathBuf> {
    let missing = folder.ancestors().take_while(|it| !it.as_os_str().is_empty() && !it.exists());
    missing.map(Path::to_owned).collect()
}

/// A mounted secret is a link through `..data` into a folder `..<time>` that kubelet replaces as a
/// whole. A resolved path has no other component that begins with two dots.
fn is_mounted_by_kubernetes(target: &Path) -> bool {
    let is_generation = |component: Component<'_>| matches!(component, Component::Normal(name) if name.as_encoded_bytes().starts_with(b".."));
    folder_of(target).components().any(is_generation)
}

fn unwritable(path: &Path, target: &Path, why: &str) -> Failure {
    refuse(
        path,
        &format!(
            "{} can't be replaced ({why}); if it comes from a secret store, as a Kubernetes secret \
             does, copy it to a directory of your own, run the command there with \
             ASSENT__KEYSET=<copy>, and put the changed copy into the store",
            target.display()
        ),
    )
}

fn taken(path: &Path) -> Failure {
    Failure::failed(format!(
        "{}: another command is changing this keyset; wait until it has ended, check `assent keys \
         show`, and run the command again if it is still needed",
        path.display()
    ))
}

#[cfg(test)]
mod tests;
