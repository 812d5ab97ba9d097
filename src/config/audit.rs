//! The section `audit`: the published log, the key that signs it, and who asks.
//!
//! No message repeats a byte of the key.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use assent_evidence::note::{self, Fault, Signer};
use zeroize::Zeroizing;

use super::keyset::{check, create_secret};
use crate::failure::{Failure, Result};

/// A key of the longest name takes 350 bytes.
const KEY_BYTES_MAX: u64 = 4096;

#[derive(Clone, Debug)]
pub struct Audit {
    /// The file of the signing key.
    pub log_key: PathBuf,
    /// `None`: the name of the signing key.
    pub origin: Option<String>,
    /// `None`: nothing is published.
    pub publish_dir: Option<PathBuf>,
    pub publish_interval: Duration,
    /// `None`: the user of the operating system.
    pub operator: Option<String>,
}

impl Audit {
    /// Does the configuration say that somebody publishes the log, or asks the audit?
    pub fn is_used(&self) -> bool {
        self.publish_dir.is_some() || self.operator.is_some()
    }
}

pub(super) fn log_name(text: &str) -> std::result::Result<String, String> {
    if note::is_name(text) {
        return Ok(text.to_owned());
    }
    Err(format!("`{text}` is not allowed: {}", Fault::Name))
}

/// Writes a new signing key, readable by its owner only; never over an existing file (78).
pub fn create_signing_key(path: &Path, signer: &Signer) -> Result<()> {
    let line = Zeroizing::new(format!("{}\n", signer.text().as_str()));
    create_secret(
        path,
        line.as_bytes(),
        "a key exists and was not changed: a log that it signed could not be continued without it; \
         choose another file with --out",
    )
}

/// The key that signs the log. Fails (78) where it is missing, too open, no such key, or one of another
/// log than `audit.origin`.
pub fn read_signing_key(audit: &Audit) -> Result<Signer> {
    let path = &audit.log_key;
    let refuse = |message: &str| Failure::config(format!("{}: {message}", path.display()));
    let unreadable = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => refuse(
            "the key of the audit log does not exist; create it with `assent keys new --for \
             audit-log --origin NAME`, or set audit.log_key",
        ),
        _ => refuse(&error.to_string()),
    };
    if !std::fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err(refuse("this is not a file; set audit.log_key to the key itself"));
    }
    let file = File::open(path).map_err(unreadable)?;
    check(&file.metadata().map_err(unreadable)?, path)?;
    let mut text = Zeroizing::new(String::with_capacity(KEY_BYTES_MAX as usize));
    file.take(KEY_BYTES_MAX).read_to_string(&mut text).map_err(unreadable)?;
    let signer = Signer::parse(text.trim_end())
        .map_err(|fault| refuse(&format!("{fault}; create one with `assent keys new`")))?;
    match &audit.origin {
        Some(origin) if origin != signer.name() => Err(refuse(&format!(
            "this is the key of the log `{}`, but audit.origin is `{origin}`; use the key of that \
             log, or correct audit.origin",
            signer.name()
        ))),
        _ => Ok(signer),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{Permissions, set_permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn audit(log_key: PathBuf, origin: Option<&str>) -> Audit {
        Audit {
            log_key,
            origin: origin.map(str::to_owned),
            publish_dir: None,
            publish_interval: Duration::from_secs(10),
            operator: None,
        }
    }

    #[test]
    fn a_key_is_read_as_it_was_written_and_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys/log.key");
        let signer = Signer::new("shop.example/audit", &[7; 32]).unwrap();
        create_signing_key(&path, &signer).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        for origin in [None, Some("shop.example/audit")] {
            let read = read_signing_key(&audit(path.clone(), origin)).unwrap();
            assert_eq!(read.verifier(), signer.verifier());
        }
        let other = Signer::new("shop.example/audit", &[8; 32]).unwrap();
        assert!(create_signing_key(&path, &other).unwrap_err().message.contains("--out"));
        let read = read_signing_key(&audit(path, None)).unwrap();
        assert_eq!(read.verifier(), signer.verifier());
    }

    #[test]
    fn what_is_wrong_is_said_without_the_key() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.key");
        let refused =
            |origin| read_signing_key(&audit(path.clone(), origin)).err().unwrap().message;
        assert!(refused(None).contains("keys new --for audit-log"));
        let signer = Signer::new("shop.example/audit", &[7; 32]).unwrap();
        create_signing_key(&path, &signer).unwrap();
        let message = refused(Some("other.example/audit"));
        assert!(message.contains("shop.example/audit") && message.contains("audit.origin"));
        set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        assert!(refused(None).contains("chmod 600"));
        set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        std::fs::write(&path, "PRIVATE+KEY+shop.example/audit+00000000+c2VjcmV0\n").unwrap();
        let message = refused(None);
        assert!(message.contains("not a key") && !message.contains("c2Vjcm"), "{message}");
    }
}
