//! Reads the keyset file, with the permissions of docs/contract/pseudonyms.md#keyset.
//!
//! No message repeats a byte of a secret. `change` writes it.

mod change;

use std::fs::{File, Metadata};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

pub use change::{KeysetChange, create_keyset, create_secret};
use zeroize::Zeroizing;

use crate::failure::{Failure, Result};
use assent_contract::domain::pseudonym::Keyset;

/// Group and others may not write, others may not read.
const FORBIDDEN: u32 = 0o026;

/// 255 keys take 25 KB.
const BYTES_MAX: u64 = 1 << 20;

/// Fails (78) where the file is missing, too open, or not a keyset.
pub fn read_keyset(path: &Path) -> Result<Keyset> {
    parse(&open(path)?, path)
}

/// Looks before it opens: to open a pipe that nobody writes to would never end.
fn open(path: &Path) -> Result<File> {
    let refused = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => refuse(
            path,
            "the keyset does not exist; create it with `assent keys new`, or set the key `keyset`",
        ),
        _ => refuse(path, &error.to_string()),
    };
    if !std::fs::metadata(path).map_err(refused)?.is_file() {
        return Err(refuse(
            path,
            "this is not a file; set the key `keyset` to the keyset file itself",
        ));
    }
    File::open(path).map_err(refused)
}

/// `path` names the file in messages.
fn parse(file: &File, path: &Path) -> Result<Keyset> {
    let metadata = file.metadata().map_err(|error| refuse(path, &error.to_string()))?;
    check(&metadata, path)?;
    if metadata.len() > BYTES_MAX {
        return Err(refuse(path, "this is not a keyset: it is larger than 1 MiB"));
    }
    let mut json = Zeroizing::new(String::with_capacity(metadata.len() as usize + 1));
    file.take(BYTES_MAX)
        .read_to_string(&mut json)
        .map_err(|error| refuse(path, &error.to_string()))?;
    Keyset::parse(&json).map_err(|error| refuse(path, &error.to_string()))
}

/// May a secret lie in a file with these permissions (78)?
pub fn check(metadata: &Metadata, path: &Path) -> Result<()> {
    let mode = metadata.mode() & 0o7777;
    if mode & FORBIDDEN != 0 {
        return Err(refuse(
            path,
            &format!(
                "the permissions of the file ({mode:04o}) let others read or change it; run \
                 `chmod 600 {}`",
                path.display()
            ),
        ));
    }
    Ok(())
}

fn refuse(path: &Path, message: &str) -> Failure {
    Failure::config(format!("{}: {message}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::fs::{Permissions, set_permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

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
        assert!(refused(folder.path()).contains("this is not a file"));

        let written = |text: &[u8]| {
            std::fs::write(&path, text).unwrap();
            set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
            refused(&path)
        };
        let message =
            written(br#"{"keys":[{"version":1,"status":"active","secret":"bm90LTMyLWJ5dGVz"}]}"#);
        assert!(message.contains("key version 1") && !message.contains("bm90"), "{message}");
        assert!(written(&vec![b' '; 2 << 20]).contains("larger than 1 MiB"));
    }
}
