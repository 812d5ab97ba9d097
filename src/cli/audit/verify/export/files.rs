//! Every file of an export against the hash that the manifest has of it.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

use assent_evidence::export::manifest::{self, Manifest};
use indicatif::ProgressBar;
use sha2::{Digest, Sha256};

use super::super::result::Outcome;
use crate::failure::{Failure, Result};
use assent_contract::domain::audit::verify::FaultKind;
use assent_contract::domain::hex::hex;

const CHUNK: usize = 256 * 1024;

pub fn check(
    folder: &Path,
    manifest: &Manifest,
    bar: &ProgressBar,
    outcome: &mut Outcome,
) -> Result<()> {
    let named =
        manifest.chains.iter().flat_map(|chain| chain.proofs.iter().chain([&chain.batches]));
    let named = named.chain(manifest.log.iter().map(|log| &log.checkpoint));
    let is_listed = |path: &&String| manifest.files.iter().any(|file| file.path == **path);
    for path in named.filter(|path| !is_listed(path)) {
        let detail = format!("{path}: the manifest has no hash of it");
        outcome.file_fault(FaultKind::Altered, None, detail);
    }
    manifest.files.iter().try_for_each(|file| check_file(folder, file, bar, outcome))
}

/// Against its own sum. An export of somebody else's may have none.
pub fn check_manifest(folder: &Path, json: &[u8], outcome: &mut Outcome) -> Result<()> {
    let path = folder.join(manifest::SUM_FILE);
    let expected = manifest::sum(json);
    let mut found = Vec::new();
    let more = expected.len() as u64 + 1;
    match File::open(&path).and_then(|file| file.take(more).read_to_end(&mut found)) {
        Ok(_) if found == expected.as_bytes() => {}
        Ok(_) => {
            let detail = format!("{}: it is not that of {}", manifest::SUM_FILE, manifest::FILE);
            outcome.file_fault(FaultKind::Altered, None, detail);
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => {
            return Err(Failure::failed(format!("--export {}: {error}", path.display())));
        }
    }
    Ok(())
}

fn check_file(
    folder: &Path,
    file: &manifest::File,
    bar: &ProgressBar,
    outcome: &mut Outcome,
) -> Result<()> {
    let manifest::File { path, sha256, .. } = file;
    match hash(&folder.join(path), bar) {
        Ok(found) if found == *sha256 => {}
        Ok(found) => {
            let detail = format!("{path}: its SHA-256 is {found}, and not the manifest's");
            outcome.file_fault(FaultKind::Altered, None, detail);
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            outcome.file_fault(FaultKind::Missing, None, format!("{path}: there is no such file"));
        }
        Err(error) => {
            let path = folder.join(path);
            return Err(Failure::failed(format!("--export {}: {error}", path.display())));
        }
    }
    Ok(())
}

fn hash(path: &Path, bar: &ProgressBar) -> std::io::Result<String> {
    let (mut file, mut hash, mut chunk) = (File::open(path)?, Sha256::new(), vec![0; CHUNK]);
    loop {
        let read = file.read(&mut chunk)?;
        if read == 0 {
            return Ok(hex(&hash.finalize()));
        }
        hash.update(&chunk[..read]);
        bar.inc(read as u64);
    }
}
