//! The chains of an export (docs/audit.md#export): every file against the manifest, every batch against its
//! proof, its neighbors, and the log where one is named. Reads no Kafka, and one batch at a time.

mod batches;
mod files;
mod seen;

use std::path::Path;

use assent_evidence::checkpoint::Checkpoint;
use assent_evidence::export::manifest::{self, Manifest, Question};
use assent_evidence::note::{NOTE_BYTES_MAX, Verifier};
use assent_evidence::reader::extends;

use self::seen::Seen;
use super::super::super::progress;
use super::Scope;
use super::log::PublishedLog;
use super::result::{Outcome, Place};
use crate::failure::{Exit, Failure, Result};
use crate::published::open_checkpoint;
use assent_contract::domain::audit::verify::FaultKind;
use assent_evidence::entry::partition_of;

/// `verifier`: who signs the log; asked for only where there is something signed.
pub fn verify(
    folder: &Path,
    verifier: &dyn Fn() -> Result<Verifier>,
    scope: &Scope<'_>,
    outcome: &mut Outcome,
) -> Result<()> {
    let manifest = read_manifest(folder, outcome)?;
    let bar = progress::bar(manifest.files.iter().map(|file| file.bytes).sum(), "bytes");
    files::check(folder, &manifest, &bar, outcome)?;
    bar.finish_and_clear();
    let checkpoint = if let Some(log) = &manifest.log {
        checkpoint(folder, &log.checkpoint, &verifier()?, outcome)?
    } else {
        outcome.notes.push(
            "the export has no checkpoint: it shows that its batches are linked, and not that \
             anybody published them"
                .to_owned(),
        );
        None
    };
    if let Some((checkpoint, log)) = checkpoint.as_ref().zip(scope.log) {
        hold_against(checkpoint, log, outcome)?;
    }
    let is_looked_at = |chain: &str| partition_of(chain).is_some_and(|it| scope.has(it));
    for chain in manifest.chains.iter().filter(|chain| is_looked_at(&chain.chain)) {
        let seen = batches::check(folder, chain, checkpoint.as_ref(), scope.log, outcome)?;
        for (first, last) in &chain.runs {
            if let Some(missing) = seen.first_missing(*first, *last) {
                is_missing(&chain.chain, missing, "the manifest names it", outcome);
            }
        }
        if let Some(log) = scope.log {
            hold_window(&chain.chain, &seen, log, &manifest.question, outcome)?;
        }
    }
    let Some(log) = scope.log else { return Ok(()) };
    let is_named = |chain: &str| manifest.chains.iter().any(|it| it.chain == chain);
    for chain in log.chains().filter(|chain| is_looked_at(chain) && !is_named(chain)) {
        hold_window(chain, &Seen::default(), log, &manifest.question, outcome)?;
    }
    Ok(())
}

fn is_missing(chain: &str, sequence: i64, why: &str, outcome: &mut Outcome) {
    let detail = format!("{why}, and it is not in the export");
    outcome.fault(chain, sequence, FaultKind::Missing, Place { offset: None, detail: &detail });
}

fn read_manifest(folder: &Path, outcome: &mut Outcome) -> Result<Manifest> {
    let path = folder.join(manifest::FILE);
    let named =
        |why: String| Failure::new(Exit::Data, format!("--export {}: {why}", path.display()));
    let file = std::fs::metadata(&path).map_err(|error| named(error.to_string()))?;
    if file.len() > manifest::BYTES_MAX {
        return Err(named("this is not the manifest of an export: it is too large".to_owned()));
    }
    let json = std::fs::read(&path).map_err(|error| named(error.to_string()))?;
    files::check_manifest(folder, &json, outcome)?;
    Manifest::parse(&json)
        .map_err(|why| named(format!("this is not the manifest of an export: {why}")))
}

/// `None`: it proves nothing; the fault was noted.
fn checkpoint(
    folder: &Path,
    path: &str,
    verifier: &Verifier,
    outcome: &mut Outcome,
) -> Result<Option<Checkpoint>> {
    let named =
        |error| Failure::failed(format!("--export {}: {error}", folder.join(path).display()));
    let note = match std::fs::metadata(folder.join(path)) {
        Ok(file) if file.len() <= NOTE_BYTES_MAX as u64 => {
            std::fs::read(folder.join(path)).map_err(named)?
        }
        Ok(_) => Vec::new(),
        // The manifest names it, so that it is missing was noted.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(named(error)),
    };
    match open_checkpoint(&note, verifier) {
        Ok(checkpoint) => Ok(Some(checkpoint)),
        Err(why) => {
            outcome.file_fault(FaultKind::Altered, None, format!("{path}: {why}"));
            Ok(None)
        }
    }
}

/// Is the export's checkpoint one of this log?
fn hold_against(checkpoint: &Checkpoint, log: &PublishedLog, outcome: &mut Outcome) -> Result<()> {
    let (old, new) = (checkpoint, &log.checkpoint);
    let is_later = old.size > new.size;
    let extends = !is_later
        && extends(log.folder(), (old.size, &old.root), (new.size, &new.root))
            .map_err(|why| Failure::failed(format!("--from: {why}")))?;
    if is_later {
        outcome.notes.push("the checkpoint of the export is later than that of --from".to_owned());
    } else if !extends {
        let detail = "the log of --from does not extend the checkpoint of the export".to_owned();
        outcome.file_fault(FaultKind::Forked, None, detail);
    }
    Ok(())
}

/// All that was published of a chain and decided in the time that was asked for is in the export.
fn hold_window(
    chain: &str,
    seen: &Seen,
    log: &PublishedLog,
    question: &Question,
    outcome: &mut Outcome,
) -> Result<()> {
    let Question { subjects, from, to } = question;
    if !subjects.is_empty() || (from.is_none() && to.is_none()) {
        return Ok(());
    }
    let mut published = log.published(chain)?;
    while let Some(entry) = published.next_entry()? {
        let is_asked_for = from.is_none_or(|from| entry.decided_at >= from)
            && to.is_none_or(|to| entry.decided_at < to);
        if is_asked_for && !seen.has(entry.sequence) {
            is_missing(chain, entry.sequence, "it was published", outcome);
            return Ok(());
        }
    }
    Ok(())
}
