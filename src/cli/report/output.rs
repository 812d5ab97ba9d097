//! Where a report goes: Markdown or JSON to stdout, a page to a file.

use std::path::PathBuf;

use serde::Serialize;

use super::super::{Globals, stdout};
use crate::failure::{Failure, Result};
use assent_report::form::{Report, html, markdown};

/// Options of each report.
#[derive(clap::Args)]
pub struct Output {
    /// Write the report to this file as one HTML page that needs nothing else, instead of printing Markdown
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

impl Output {
    pub fn print<R: Report + Serialize>(&self, report: &R, globals: &Globals) -> Result<()> {
        let document = report.document();
        if let Some(path) = &self.html {
            std::fs::write(path, html(&document)).map_err(|error| {
                Failure::failed(format!(
                    "--html {}: can't be written: {error}; choose a file in an existing, writable directory",
                    path.display()
                ))
            })?;
        }
        match &self.html {
            _ if globals.json => stdout::json(report),
            Some(path) => stdout::line(&format!("{}: {}", path.display(), document.title)),
            None => stdout::line(markdown(&document).trim_end()),
        }
    }
}
