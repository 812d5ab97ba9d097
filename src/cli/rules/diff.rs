//! `assent rules diff`: what a new rulebook changes, and what that does to live keys.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::super::{Globals, stdout};
use crate::domain::rules::Rulebook;
use crate::domain::rules::diff::{Admission, Change, admission, changes};
use crate::failure::{Exit, Failure, Result};

/// Say in plain words what a new rulebook changes, and what that does to live keys
///
/// Purposes and segments that are added, removed, stricter, looser or otherwise changed. Exit code 0:
/// the new one can follow, with or without differences; 65: it can't, since it has the old one's
/// version and other content, or one of the two is faulty.
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  assent rules diff rules/children-retail.yaml next.yaml\n  assent \
                  rules diff old.yaml new.yaml --json"
)]
pub struct Args {
    /// The rulebook that runs
    old: PathBuf,
    /// The one that is to follow
    new: PathBuf,
}

pub fn run(args: &Args, globals: &Globals) -> Result<()> {
    let Args { old: old_path, new: new_path } = args;
    let (old, new) = (super::read(old_path)?, super::read(new_path)?);
    let (admission, changes) = (admission(&old, &new), changes(&old, &new));
    if globals.json {
        stdout::json(&json!({
            "old": named(old_path, &old),
            "new": named(new_path, &new),
            "identical": admission == Admission::Same,
            "refused": admission == Admission::SameVersion,
            "changes": changes,
        }))?;
    } else {
        stdout::line(&text((old_path, &old), (new_path, &new), admission, &changes))?;
    }
    match admission {
        Admission::Same | Admission::NewVersion => Ok(()),
        Admission::SameVersion => Err(Failure::new(Exit::Data, refusal(new_path, &new.version))),
    }
}

fn refusal(new: &Path, version: &str) -> String {
    format!(
        "{}: refused: it has the version {version:?} of the old one and other content; give it a \
         version of its own, for example `rulebook: {:?}`",
        new.display(),
        format!("{version}-2"),
    )
}

fn named(path: &Path, rulebook: &Rulebook) -> serde_json::Value {
    json!({"file": path, "rulebook": rulebook.version, "sha256": rulebook.sha256_hex()})
}

fn text(
    (old_path, old): (&Path, &Rulebook),
    (new_path, new): (&Path, &Rulebook),
    admission: Admission,
    changes: &[Change],
) -> String {
    let head = |path: &Path, rulebook: &Rulebook| {
        let hash = rulebook.sha256_hex();
        format!("{}: rulebook {}, SHA-256 {hash}", path.display(), rulebook.version)
    };
    let mut lines = vec![head(old_path, old), head(new_path, new), String::new()];
    lines.extend(changes.iter().map(Change::text));
    lines.extend((!changes.is_empty()).then(String::new));
    lines.extend(conclusion(&new.version, admission, changes.len()));
    lines.join("\n")
}

fn conclusion(version: &str, admission: Admission, changes: usize) -> Vec<String> {
    let counted = match changes {
        0 => "Nothing that decides changed: wording of comments, order or layout only.".to_owned(),
        1 => "1 change.".to_owned(),
        number => format!("{number} changes."),
    };
    match admission {
        Admission::Same => vec!["The same file: nothing to do.".to_owned()],
        Admission::SameVersion => vec![
            counted,
            format!(
                "REFUSED: both say rulebook {version:?} with other content, and a state that knows \
                 one refuses the other."
            ),
        ],
        Admission::NewVersion => vec![
            counted,
            format!(
                "Every {}live key stays, keeps its counters, and is written again under the new \
                 version.",
                if changes > 0 { "other " } else { "" }
            ),
            format!(
                "Has {version:?} ever decided before? Then give the new rulebook another version: one \
                 that the state has left is refused."
            ),
        ],
    }
}
