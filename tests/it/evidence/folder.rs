//! A log's folder: copied, looked through, and changed by one bit.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// The files below it that a web server would serve, by path.
pub fn files(log: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut waiting = vec![log.to_owned()];
    while let Some(folder) = waiting.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.file_name().is_some_and(|name| name == ".assent") {
                continue;
            }
            if path.is_dir() { waiting.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    found.iter().map(|path| path.strip_prefix(log).expect("below").to_owned()).collect()
}

/// A copy of what a web server would serve.
pub fn copy(log: &Path) -> TempDir {
    let copy = tempfile::tempdir().expect("temp dir");
    for path in files(log) {
        let to = copy.path().join(&path);
        std::fs::create_dir_all(to.parent().expect("a folder")).expect("made");
        std::fs::copy(log.join(&path), to).expect("copied");
    }
    copy
}

/// Changes one bit in the middle of a file.
pub fn flip(path: &Path) {
    let mut bytes = std::fs::read(path).expect("readable");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(path, bytes).expect("written");
}
