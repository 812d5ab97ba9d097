//! Results go to stdout, one line at a time.

use std::borrow::Cow;
use std::io::{ErrorKind, Write};

use crate::failure::{Failure, Result};

/// Turn the direction of the text after them, or start a line without saying so.
const INVISIBLE: &[char] = &[
    '\u{61c}', '\u{200e}', '\u{200f}', '\u{2028}', '\u{2029}', '\u{202a}', '\u{202b}', '\u{202c}',
    '\u{202d}', '\u{202e}', '\u{2066}', '\u{2067}', '\u{2068}', '\u{2069}',
];

/// Writes text for a person, at once. A reader that has gone away (`… | head`) ends the command quietly.
pub fn line(text: &str) -> Result<()> {
    write(&printable(text))
}

/// Writes one object as a line of JSON, which escapes by itself.
pub fn json(object: &impl serde::Serialize) -> Result<()> {
    let text = serde_json::to_string(object).map_err(|error| {
        Failure::failed(format!("the result can't be written as JSON: {error}"))
    })?;
    write(&text)
}

/// As it is: for text that is ours alone.
pub fn write(text: &str) -> Result<()> {
    bytes(format!("{text}\n").as_bytes())
}

/// As they are, without a line end: for many lines at a time, in a format that escapes by itself.
pub fn bytes(bytes: &[u8]) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => std::process::exit(0),
        Err(error) => Err(Failure::failed(format!("stdout: {error}"))),
    }
}

/// The last line of defense: whatever got into a text, nothing in it moves a cursor or turns the
/// direction. Foreign text goes through `domain::foreign_text` before, which bounds it, too.
pub fn printable(text: &str) -> Cow<'_, str> {
    let is_safe = |c: char| matches!(c, '\n' | '\t') || !(c.is_control() || INVISIBLE.contains(&c));
    if text.chars().all(is_safe) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if is_safe(character) {
            out.push(character);
        } else {
            out.extend(character.escape_unicode());
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_is_printed_moves_a_cursor() {
        for plain in ["a\n  b\tc", "Grüße 🧸 שלום \\ \"x\"", "e\u{301}"] {
            assert_eq!(printable(plain), plain);
        }
        assert_eq!(printable("a\u{1b}[2J\rb\u{9b}1m\u{7f}"), "a\\u{1b}[2J\\u{d}b\\u{9b}1m\\u{7f}");
        assert_eq!(printable("x\u{202e}gpj\u{2066}\u{2028}"), "x\\u{202e}gpj\\u{2066}\\u{2028}");
    }
}
