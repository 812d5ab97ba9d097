//! `assent rules check`: is this rulebook one that Assent would run?

use std::path::{Path, PathBuf};

use serde_json::json;

use super::super::{Globals, stdout};
use crate::config::{RulebookRefusal, read_rulebook};
use crate::failure::{Exit, Result};
use assent_contract::rulebook::Rulebook;

/// Check a rulebook; report each error with file, line, column and reason (exit code 65)
#[derive(clap::Args)]
#[command(after_help = "Example:\n  assent rules check rules/children-retail.yaml")]
pub struct Args {
    /// Rulebook file [default: the configured rulebook]
    file: Option<PathBuf>,
}

pub fn run(args: &Args, globals: &Globals) -> Result<()> {
    let path = super::chosen(args.file.as_ref(), globals)?;
    match read_rulebook(&path) {
        Ok(file) => accepted(&path, &file.rulebook, globals.json),
        Err(refusal) => {
            if globals.json {
                refused_as_json(&path, &refusal)?;
            }
            Err(refusal.into_failure(&path, Exit::Data))
        }
    }
}

fn accepted(path: &Path, rulebook: &Rulebook, is_json: bool) -> Result<()> {
    let purposes = rulebook.declared().count();
    let assigned: usize = rulebook.declared().map(|purpose| purpose.segments.len()).sum();
    let contextual = rulebook.contextual.len();
    if is_json {
        return stdout::json(&json!({
            "ok": true,
            "file": path,
            "rulebook": rulebook.version,
            "purposes": purposes,
            "segments": assigned + contextual,
            "contextual_segments": contextual,
        }));
    }
    stdout::line(&format!(
        "{}: OK: rulebook {}, {purposes} purposes, {} segments ({contextual} of them contextual)",
        path.display(),
        rulebook.version,
        assigned + contextual,
    ))
}

fn refused_as_json(path: &Path, refusal: &RulebookRefusal) -> Result<()> {
    let errors = match refusal {
        RulebookRefusal::Unreadable(error) => vec![json!({ "message": error.to_string() })],
        RulebookRefusal::Faulty(errors) => errors
            .iter()
            .map(|e| json!({ "line": e.line, "column": e.column, "message": e.message }))
            .collect(),
    };
    stdout::json(&json!({ "ok": false, "file": path, "errors": errors }))
}
