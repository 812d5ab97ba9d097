//! Results go to stdout, one line at a time.

use std::io::{ErrorKind, Write};

use crate::failure::{Failure, Result};

/// Writes one line, at once. A reader that has gone away (`… | head`) ends the command quietly.
pub fn line(text: &str) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    match writeln!(stdout, "{text}").and_then(|()| stdout.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => std::process::exit(0),
        Err(error) => Err(Failure::failed(format!("stdout: {error}"))),
    }
}

/// Writes one object as a line of JSON.
pub fn json(object: &impl serde::Serialize) -> Result<()> {
    let text = serde_json::to_string(object)
        .map_err(|error| Failure::failed(format!("the result has no JSON form: {error}")))?;
    line(&text)
}
