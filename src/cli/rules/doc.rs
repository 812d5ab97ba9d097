//! `assent rules doc`: the rulebook as a document or as a site, made from what runs.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::super::{Globals, stdout, when};
use crate::clock::{Clock, SystemClock};
use crate::failure::{Failure, Result};
use assent_contract::rulebook::Rulebook;
use assent_contract::rulebook::render::{self, render, site};

/// Render the rulebook for people to read, as Markdown, a single HTML page or a static site
///
/// The document describes purposes, segments and their conditions in plain words, every click field
/// that is read and why, retention, the risk and auditability of each approach, the gate's table
/// with its citations, and the data map. The same rulebook always gives the same bytes.
///
/// The site has a page for each of these, an index, the data map as a picture, and the history of
/// the rulebook, as far as --earlier names the versions before it. Its pages bear the day on which
/// they were made, and the rulebook's hash.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  assent rules doc\n  assent rules doc --format html --out \
                  rulebook.html\n  assent rules doc next.yaml --site site --earlier \
                  rules/children-retail.yaml")]
pub struct Args {
    /// Rulebook file [default: the configured rulebook]
    file: Option<PathBuf>,
    /// Output format [default: html if --out ends in .html or .htm, else markdown]
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// File to write, replaced if it exists [default: stdout]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Directory to write a static site to; its files are replaced if they exist
    #[arg(long, value_name = "DIR", conflicts_with_all = ["out", "format"])]
    site: Option<PathBuf>,
    /// A rulebook from before, for the site's history, the oldest first (repeatable)
    #[arg(long, value_name = "FILE", requires = "site")]
    earlier: Vec<PathBuf>,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Format {
    Markdown,
    Html,
}

pub fn run(args: &Args, globals: &Globals) -> Result<()> {
    let path = super::chosen(args.file.as_ref(), globals)?;
    let rulebook = super::read(&path)?;
    if let Some(folder) = &args.site {
        return write_site(folder, &path, &rulebook, &args.earlier, globals.json);
    }
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

fn write_site(
    folder: &Path,
    path: &Path,
    rulebook: &Rulebook,
    earlier: &[PathBuf],
    is_json: bool,
) -> Result<()> {
    let earlier: Vec<Rulebook> = earlier.iter().map(|it| super::read(it)).collect::<Result<_>>()?;
    let now = when::text(SystemClock.now());
    let day = now.split('T').next().unwrap_or_default();
    let pages = site(rulebook, &earlier, day);
    let refuse = |error: std::io::Error| {
        Failure::failed(format!(
            "--site {}: can't be written: {error}; choose a writable directory",
            folder.display()
        ))
    };
    std::fs::create_dir_all(folder).map_err(refuse)?;
    for page in &pages {
        std::fs::write(folder.join(&page.name), &page.html).map_err(refuse)?;
    }
    if is_json {
        let names: Vec<&str> = pages.iter().map(|page| page.name.as_str()).collect();
        return stdout::json(&json!({
            "file": path,
            "rulebook": rulebook.version,
            "sha256": rulebook.sha256_hex(),
            "site": folder,
            "pages": names,
        }));
    }
    stdout::line(&format!(
        "{}: rulebook {}, {} pages; open index.html",
        folder.display(),
        rulebook.version,
        pages.len()
    ))
}
