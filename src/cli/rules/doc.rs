//! `assent rules doc`: the rulebook as a document, made from what runs.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::super::{Globals, stdout};
use crate::failure::{Failure, Result};
use assent_contract::rulebook::render::{self, render};

/// Render the rulebook for people to read, as Markdown or as a single HTML page
///
/// The document describes purposes, segments and their conditions in plain words, every click field
/// that is read and why, retention, the risk and auditability of each approach, the gate's table
/// with its citations, and the data map. The same rulebook always gives the same bytes.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  assent rules doc\n  assent rules doc --format html --out \
                  rulebook.html\n  assent rules doc next.yaml --out next.md")]
pub struct Args {
    /// Rulebook file [default: the configured rulebook]
    file: Option<PathBuf>,
    /// Output format [default: html if --out ends in .html or .htm, else markdown]
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// File to write, replaced if it exists [default: stdout]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Format {
    Markdown,
    Html,
}

pub fn run(args: &Args, globals: &Globals) -> Result<()> {
    let path = super::chosen(args.file.as_ref(), globals)?;
    let rulebook = super::read(&path)?;
    let (format, name) = match args.chosen_format() {
        Format::Markdown => (render::Format::Markdown, "markdown"),
        Format::Html => (render::Format::Html, "html"),
    };
    let document = render(&rulebook, format);
    if let Some(out) = &args.out {
        write(out, &document)?;
    }
    match (&args.out, globals.json) {
        (None, false) => stdout::line(document.trim_end()),
        (Some(out), false) => {
            stdout::line(&format!("{}: rulebook {}", out.display(), rulebook.version))
        }
        (out, true) => stdout::json(&json!({
            "file": path,
            "rulebook": rulebook.version,
            "sha256": rulebook.sha256_hex(),
            "format": name,
            "out": out,
            "document": if out.is_none() { Some(document) } else { None },
        })),
    }
}

impl Args {
    fn chosen_format(&self) -> Format {
        let is_page = |out: &PathBuf| {
            out.extension().is_some_and(|e| e.eq_ignore_ascii_case("html") || e == "htm")
        };
        match (self.format, self.out.as_ref()) {
            (Some(format), _) => format,
            (None, Some(out)) if is_page(out) => Format::Html,
            (None, _) => Format::Markdown,
        }
    }
}

fn write(out: &Path, document: &str) -> Result<()> {
    std::fs::write(out, document).map_err(|error| {
        Failure::failed(format!(
            "--out {}: can't be written: {error}; choose a file in an existing, writable directory",
            out.display()
        ))
    })
}
