//! What is said besides the result: warnings, and why a command failed.

use std::io::Write;

use super::stdout::printable;

/// Writes one message. Where nobody reads stderr any more (`2>&1 | head`), there is nobody to tell.
pub fn line(text: &str) {
    let _ = writeln!(std::io::stderr(), "{}", printable(text));
}

pub fn warning(text: &str) {
    line(&format!("warning: {text}"));
}
