//! Reads and writes the keyset file, with the permissions of the design's section 4.
//!
//! No message repeats a byte of a secret.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use zeroize::Zeroizing;

use crate::domain::pseudonym::Keyset;
use crate::failure::{Failure, Result};

/// Group and others may not write, others may not read.
const FORBIDDEN: u32 = 0o026;

/// Fails (78) where the file is missing, too open, or not a keyset.
pub fn read_keyset(path: &Path) -> Result<Keyset> {
    let refuse = |message: &str| Failure::config(format!("{}: {message}", path.display()));
    let mut file = File::open(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            refuse("the keyset is not there; make one with `assent keys new`")
        }
        _ => refuse(&error.to_string()),
    })?;
    let metadata = file.metadata().map_err(|error| refuse(&error.to_string()))?;
    if !metadata.is_file() {
        return Err(refuse("this is no file; keyset names the keyset file itself"));
    }
    let mode = metadata.mode() & 0o7777;
    if mode & FORBIDDEN != 0 {
        return Err(refuse(&format!(
            "its permissions ({mode:04o}) let others than its owner write it, or anyone read it; \
             run `chmod 600 {}`",
            path.display()
        )));
    }
    let mut json = Zeroizing::new(String::with_capacity(metadata.len() as usize + 1));
    file.read_to_string(&mut json).map_err(|error| refuse(&error.to_string()))?;
    Keyset::parse(&json).map_err(|error| refuse(&error.to_string()))
}

/// Writes a new keyset, readable by its owner only; never over an existing file (78).
pub fn create_keyset(path: &Path, keyset: &Keyset) -> Result<()> {
    let refuse = |message: &str| Failure::config(format!("{}: {message}", path.display()));
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(|error| refuse(&error.to_string()))?;
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(
        |error| match error.kind() {
            std::io::ErrorKind::AlreadyExists => refuse(
                "a keyset is there already, and it is kept: under other keys, live pseudonyms \
                 could no longer be removed; name another file with --out",
            ),
            _ => refuse(&error.to_string()),
        },
    )?;
    file.write_all(keyset.to_json().as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(|error| refuse(&error.to_string()))
}

/// Writes a changed keyset in place of the file: whole, or not at all.
pub fn replace_keyset(path: &Path, keyset: &Keyset) -> Result<()> {
    let refuse = |message: &str| Failure::config(format!("{}: {message}", path.display()));
    let mode = std::fs::metadata(path).map_err(|error| refuse(&error.to_string()))?.mode() & 0o7777;
    let next = path.with_extension("next");
    let written = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode)
        .open(&next)
        .and_then(|mut file| {
            file.write_all(keyset.to_json().as_bytes()).and_then(|()| file.sync_all())
        })
        .and_then(|()| std::fs::rename(&next, path));
    written.map_err(|error| refuse(&error.to_string()))
}

#[cfg(test)]
mod tests {
    use std::fs::{Permissions, set_permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_new_keyset_is_its_owners_and_is_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/keyset.json");
        create_keyset(&path, &Keyset::first([7; 32])).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(read_keyset(&path).ok().map(|keyset| keyset.active()), Some(1));

        let failure = create_keyset(&path, &Keyset::first([8; 32])).unwrap_err();
        assert!(failure.message.contains("a keyset is there already"), "{failure}");
    }

    #[test]
    fn permissions_are_checked() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keyset.json");
        create_keyset(&path, &Keyset::first([7; 32])).unwrap();
        for (mode, accepted) in [
            (0o600, true),
            (0o400, true),
            (0o640, true),
            (0o440, true),
            (0o660, false),
            (0o644, false),
            (0o602, false),
        ] {
            set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            assert_eq!(read_keyset(&path).is_ok(), accepted, "{mode:o}");
        }
    }

    #[test]
    fn what_is_missing_or_faulty_is_said_without_the_secret() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keyset.json");
        let refused = |path: &Path| read_keyset(path).err().unwrap().message;
        assert!(refused(&path).contains("assent keys new"));
        assert!(refused(folder.path()).contains("this is no file"));

        let text = r#"{"keys":[{"version":1,"status":"active","secret":"bm90LTMyLWJ5dGVz"}]}"#;
        std::fs::write(&path, text).unwrap();
        set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        let message = refused(&path);
        assert!(message.contains("key version 1") && !message.contains("bm90"), "{message}");
    }
}
