//! The period that an option names.

use crate::failure::{Exit, Failure, Result};
use assent_contract::domain::foreign_text::shown;
use assent_report::period::Period;

/// `--year`
pub fn year(text: &str) -> Result<Period> {
    let what =
        || usage(format!("--year {}: not a year; write YYYY, for example 2026", shown(text)));
    Period::year(text).ok_or_else(what)
}

/// `--month`
pub fn month(text: &str) -> Result<Period> {
    let what = || {
        usage(format!("--month {}: not a month; write YYYY-MM, for example 2026-11", shown(text)))
    };
    Period::month(text).ok_or_else(what)
}

fn usage(message: String) -> Failure {
    Failure::new(Exit::Usage, message)
}
