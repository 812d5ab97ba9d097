//! Reads files of JSON lines: every line a ClickEvent or a ConsentRecord, with its place.
//!
//! Knows no Kafka. A fault names file, line and what is wrong, never an identifier (INV-6).

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use clap::ValueEnum;
use serde_json::Value;

use super::schema::Schema;
use crate::domain::consent::ConsentRecord;
use crate::domain::event::ClickEvent;
use crate::domain::ids::{ID_BYTES_MAX, RESERVED_PREFIX, is_valid_id};
use crate::domain::time::Timestamp;
use crate::failure::{Exit, Failure, Result};

/// What a line holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    Clicks,
    Consent,
}

/// A line that passed every check. Holds raw identifiers: no `Debug`.
pub enum Line {
    Click(Box<ClickEvent>),
    Consent(Box<ConsentRecord>),
}

impl Line {
    /// The time that `--shift-to` goes by.
    pub fn time(&self) -> Timestamp {
        match self {
            Self::Click(click) => click.occurred_at,
            Self::Consent(record) => record.recorded_at,
        }
    }

    pub fn kind(&self) -> Kind {
        match self {
            Self::Click(_) => Kind::Clicks,
            Self::Consent(_) => Kind::Consent,
        }
    }
}

/// Turns text into lines.
pub struct LineParser {
    click: Schema,
    consent: Schema,
    /// `None`: told by each line's fields.
    kind: Option<Kind>,
}

impl LineParser {
    pub fn new(kind: Option<Kind>) -> Self {
        Self { click: Schema::click(), consent: Schema::consent(), kind }
    }

    /// Hands over every line of the file; blank ones are passed over. Returns the bytes read.
    pub fn each(&self, path: &Path, mut each: impl FnMut(Line) -> Result<()>) -> Result<u64> {
        let unreadable = |error: std::io::Error| {
            Failure::new(Exit::Data, format!("{}: can't be read: {error}", path.display()))
        };
        let mut input = BufReader::new(File::open(path).map_err(unreadable)?);
        let (mut bytes, mut buffer) = (0, Vec::new());
        for number in 1u64.. {
            buffer.clear();
            let length = input.read_until(b'\n', &mut buffer).map_err(unreadable)?;
            if length == 0 {
                break;
            }
            bytes += length as u64;
            if buffer.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            let line = self.parse(&buffer).map_err(|fault| {
                Failure::new(Exit::Data, format!("{}:{number}: {fault}", path.display()))
            })?;
            each(line)?;
        }
        Ok(bytes)
    }

    /// One line. The error says what is wrong with it.
    pub fn parse(&self, text: &[u8]) -> std::result::Result<Line, String> {
        let mut value: Value = serde_json::from_slice(text)
            .map_err(|error| format!("is not JSON (column {})", error.column()))?;
        match self.kind.or_else(|| guess(&value)) {
            Some(Kind::Clicks) => self.parse_click(&mut value),
            Some(Kind::Consent) => self.parse_consent(&mut value),
            None => Err("is neither a click (occurred_at) nor a consent record (recorded_at); \
                         --kind says which is meant"
                .to_owned()),
        }
    }

    fn parse_click(&self, value: &mut Value) -> std::result::Result<Line, String> {
        self.click.conform(value)?;
        let click: ClickEvent = typed(value)?;
        check_id("session_id", &click.session_id)?;
        click.subject_id.as_deref().map_or(Ok(()), |id| check_id("subject_id", id))?;
        Ok(Line::Click(Box::new(click)))
    }

    fn parse_consent(&self, value: &mut Value) -> std::result::Result<Line, String> {
        self.consent.conform(value)?;
        let record: ConsentRecord = typed(value)?;
        check_id("subject_id", &record.subject_id)?;
        Ok(Line::Consent(Box::new(record)))
    }
}

/// Only one of the two has each of these.
fn guess(value: &Value) -> Option<Kind> {
    if value.get("occurred_at").is_some() {
        Some(Kind::Clicks)
    } else if value.get("recorded_at").is_some() {
        Some(Kind::Consent)
    } else {
        None
    }
}

/// serde's own message may quote the value, so it is left out.
fn typed<T: serde::de::DeserializeOwned>(value: &mut Value) -> std::result::Result<T, String> {
    serde_json::from_value(value.take()).map_err(|_| "does not fit its schema".to_owned())
}

fn check_id(field: &str, id: &str) -> std::result::Result<(), String> {
    if is_valid_id(id) {
        return Ok(());
    }
    Err(format!(
        "{field} must have 1 to {ID_BYTES_MAX} bytes and must not begin with {RESERVED_PREFIX}"
    ))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    const CLICK: &str = r#"{"event_id":"e","session_id":"s","occurred_at":5,"kind":"SEARCH"}"#;
    const CONSENT: &str = r#"{"subject_id":"p","version":1,"recorded_at":7,"decisions":{}}"#;

    #[test]
    fn the_kind_is_told_by_the_fields() {
        for (text, kind, time) in [(CLICK, Kind::Clicks, 5), (CONSENT, Kind::Consent, 7)] {
            let line = LineParser::new(None).parse(text.as_bytes()).ok().unwrap();
            assert_eq!((line.kind(), line.time()), (kind, Timestamp(time)));
        }
    }

    #[test]
    fn a_faulty_line_is_told_what_is_wrong() {
        for (kind, text, expected) in [
            (None, "{", "is not JSON (column 1)"),
            (None, "[]", "is neither a click"),
            (Some(Kind::Clicks), "[]", "the line must be an object"),
            (Some(Kind::Consent), CLICK, "the line has a field that the schema lacks"),
            (None, r#"{"occurred_at":5}"#, "event_id is missing"),
            (None, &CLICK.replace("\"s\"", "\"\""), "session_id must have 1 to 512 bytes"),
            (None, &CONSENT.replace("\"p\"", "\"__assent_x\""), "subject_id must have 1 to 512"),
        ] {
            let fault = LineParser::new(kind).parse(text.as_bytes()).err().unwrap();
            assert!(fault.starts_with(expected), "{text}: {fault}");
        }
    }

    #[test]
    fn a_fault_names_the_file_and_the_line() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        write!(file, "{CLICK}\n\n{CONSENT}\nnonsense\n").unwrap();
        let mut kinds = Vec::new();
        let failure = LineParser::new(None)
            .each(file.path(), |line| {
                kinds.push(line.kind());
                Ok(())
            })
            .unwrap_err();
        assert_eq!(kinds, [Kind::Clicks, Kind::Consent]);
        assert_eq!(failure.exit, Exit::Data);
        let place = format!("{}:4: is not JSON", file.path().display());
        assert!(failure.message.starts_with(&place), "{}", failure.message);
    }
}
