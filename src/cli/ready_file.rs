//! `assent run --ready-file FILE`: a file that is there while /readyz says ready.

use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::failure::{Failure, Result};

/// Where /readyz is: what the file says.
const SCHEME: &str = "http://";

/// Gone with this value, too.
pub struct ReadyFile {
    path: PathBuf,
    address: SocketAddr,
    is_there: bool,
}

impl ReadyFile {
    /// What a process that was killed left is removed. Fails (78) where the file is another's, or its
    /// folder can't be written.
    pub fn new(path: &Path, address: SocketAddr) -> Result<Self> {
        match std::fs::read_to_string(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Ok(text) if text.starts_with(SCHEME) => {}
            Ok(_) | Err(_) => {
                let why = "exists and is not a ready file of Assent; choose another path";
                return Err(refuse(path, why));
            }
        }
        let mut file = Self { path: path.to_owned(), address, is_there: false };
        file.write().map_err(|error| {
            refuse(
                path,
                &format!("can't be written ({error}); the directory must exist and be writable"),
            )
        })?;
        file.remove();
        Ok(file)
    }

    /// It is there from now on, or it is not.
    pub fn show(&mut self, ready: bool) {
        match (ready, self.is_there) {
            (true, false) => {
                if let Err(error) = self.write() {
                    tracing::warn!("--ready-file {}: {error}", self.path.display());
                }
            }
            (false, true) => self.remove(),
            _ => {}
        }
    }

    /// Whole or not at all.
    fn write(&mut self) -> std::io::Result<()> {
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let mut draft = tempfile::Builder::new()
            .prefix(".ready-")
            .tempfile_in(folder.unwrap_or(Path::new(".")))?;
        writeln!(draft, "{SCHEME}{}", self.address)?;
        draft.persist(&self.path)?;
        self.is_there = true;
        Ok(())
    }

    fn remove(&mut self) {
        let _ = std::fs::remove_file(&self.path);
        self.is_there = false;
    }
}

impl Drop for ReadyFile {
    fn drop(&mut self) {
        if self.is_there {
            self.remove();
        }
    }
}

fn refuse(path: &Path, why: &str) -> Failure {
    Failure::config(format!("--ready-file {}: {why}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_there_while_ready_and_says_where() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ready");
        std::fs::write(&path, "http://127.0.0.1:1\n").unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], 9464));
        let mut file = ReadyFile::new(&path, address).unwrap();
        assert!(!path.exists(), "left by one that was killed");
        for ready in [true, true, false, true] {
            file.show(ready);
            assert_eq!(path.exists(), ready);
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "http://127.0.0.1:9464\n");
        drop(file);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_file_of_somebody_elses_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notes");
        std::fs::write(&path, "mine").unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        assert!(ReadyFile::new(&path, address).is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine");
        assert!(ReadyFile::new(&folder.path().join("no/such/folder"), address).is_err());
    }
}
