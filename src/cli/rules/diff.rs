//! `assent rules diff`: what a new rulebook changes, and what that does to live keys.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::super::{Globals, stdout};
use crate::failure::{Exit, Failure, Result};
use assent_contract::rulebook::Rulebook;
use assent_contract::rulebook::diff::{Admission, Change, Due, SENTENCE, admission, changes};

/// Explain what a new rulebook changes and how that affects live keys
///
/// Lists the purposes and segments that are added, removed, stricter, looser or otherwise changed,
/// and says which changes are material: after one, a risk assessment is due within 45 days, and
/// before new processing starts (11 CCR 7150 and following). Exits with code 0 if the new rulebook
/// can replace the old one, and with code 65 if it can't: both have the same version but different
/// content, or one of them has errors.
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  assent rules diff rules/children-retail.yaml next.yaml\n  assent \
                  rules diff old.yaml new.yaml --json"
)]
pub struct Args {
    /// Rulebook in use
    old: PathBuf,
    /// Rulebook that will replace it
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
            "material": changes.iter().any(|change| change.material.is_some()),
            "changes": changes,
        }))?;
    } else {
        stdout::line(&text((old_path, &old), (new_path, &new), admission, &changes))?;
    }
    match admission {
        Admission::Same | Admission::NewVersion => Ok(()),
        Admission::SameVersion => Err(refusal(new_path, &new.version)),
    }
}

/// Both have this version, and they differ.
pub(super) fn refusal(new: &Path, version: &str) -> Failure {
    Failure::new(
        Exit::Data,
        format!(
            "{}: rulebook: version {version:?} is also the version of the old rulebook, whose content \
             differs; set a new version, for example `rulebook: {:?}`",
            new.display(),
            format!("{version}-2"),
        ),
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
    lines.extend(assessment(changes));
    lines.join("\n")
}

/// What is due before or after the rollout; `None`: nothing is.
fn assessment(changes: &[Change]) -> Option<String> {
    let due = |due: Option<Due>| {
        let is_due = move |change: &&Change| {
            change.material.is_some_and(|it| due.is_none_or(|due| it.due == due))
        };
        let ids: BTreeSet<&str> = changes.iter().filter(is_due).map(|it| it.id.as_str()).collect();
        ids.into_iter().collect::<Vec<_>>().join(", ")
    };
    let (all, new) = (due(None), due(Some(Due::BeforeItStarts)));
    let before =
        if new.is_empty() { String::new() } else { format!("; before it starts for {new}") };
    (!all.is_empty()).then(|| format!("{SENTENCE} ({all}){before}."))
}

fn conclusion(version: &str, admission: Admission, changes: usize) -> Vec<String> {
    let counted = match changes {
        0 => "No decision changes: the files differ only in comments, order or layout.".to_owned(),
        1 => "1 change.".to_owned(),
        number => format!("{number} changes."),
    };
    match admission {
        Admission::Same => vec!["The files are identical: nothing to do.".to_owned()],
        Admission::SameVersion => vec![
            counted,
            format!(
                "REFUSED: both files have the version {version:?} but different content. A state \
                 that knows one of them refuses the other."
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
                "If version {version:?} was ever in use before, give the new rulebook another \
                 version: `run` refuses to return to an earlier version."
            ),
        ],
    }
}
