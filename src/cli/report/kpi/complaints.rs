//! The file of complaints.

use std::path::Path;

use super::super::super::csv::records;
use crate::failure::{Exit, Failure, Result};
use assent_report::kpi::complaints::Complaints;
use assent_report::period::Period;

/// A line for each complaint of years.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// Fails (65) at the first faulty line.
pub fn read(path: &Path, month: Period) -> Result<Complaints> {
    let fault =
        |why: String| Failure::new(Exit::Data, format!("--complaints {}: {why}", path.display()));
    let unreadable =
        |error: std::io::Error| fault(format!("can't be read: {error}; check the path"));
    let size = std::fs::metadata(path).map_err(unreadable)?.len();
    if size > FILE_BYTES_MAX {
        return Err(fault(format!("it has {size} bytes; give a file of at most {FILE_BYTES_MAX}")));
    }
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    let of_line = |line: usize, what: &str| fault(format!("line {line}: {what}; correct it"));
    let rows = records(&text).map_err(|it| of_line(it.line, it.what))?;
    Complaints::of(month, rows).map_err(|it| of_line(it.line, it.what))
}
