//! Reads files of JSON lines: every line a ClickEvent or a ConsentRecord, with its place.
//!
//! Knows no Kafka. A fault names file, line and what is wrong, never an identifier (INV-6).

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use clap::ValueEnum;
use serde_json::Value;

use super::json::{self, Fault, Place};
use super::schema::Schema;
use crate::failure::{Exit, Failure, Result};
use assent_contract::domain::consent::ConsentRecord;
use assent_contract::domain::event::ClickEvent;
use assent_contract::domain::ids::{ID_BYTES_MAX, RESERVED_PREFIX, is_valid_id};
use assent_contract::domain::time::Timestamp;

/// Four times what a broker takes of one record.
const LINE_BYTES_MAX: u64 = 4 << 20;

/// Some editors write it at the start of a file, and `cat` then carries it into the middle.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

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
        let name = path.display().to_string();
        let file = File::open(path).map_err(|error| unreadable(&name, &error))?;
        each_line(BufReader::new(file), &name, |text, at| {
            each(self.parse_line(text, &name).map_err(|fault| at.refuse(&fault))?)
        })
    }

    /// As [`Self::parse`], for one of many: what is not JSON lines is told as what it is.
    fn parse_line(&self, text: &[u8], file: &str) -> std::result::Result<Line, String> {
        let read = json::parse(text);
        match not_json_lines(text, &read, file) {
            Some(fault) => Err(fault),
            None => self.take(read),
        }
    }

    /// One record, over as many lines as it likes. The error says what is wrong with it.
    pub fn parse(&self, text: &[u8]) -> std::result::Result<Line, String> {
        self.take(json::parse(without_mark(text)))
    }

    fn take(&self, read: std::result::Result<Value, Fault>) -> std::result::Result<Line, String> {
        let is_known = |name: &str| self.click.has_name(name) || self.consent.has_name(name);
        let mut value = read.map_err(|fault| describe(fault, &is_known))?;
        match self.kind.or_else(|| guess(&value)) {
            Some(Kind::Clicks) => self.parse_click(&mut value),
            Some(Kind::Consent) => self.parse_consent(&mut value),
            None => {
                Err("is neither a click (it has no occurred_at) nor a consent record (it has no \
                 recorded_at); add the field, or set --kind"
                    .to_owned())
            }
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

/// Where a line is, for a message.
pub struct At<'a> {
    name: &'a str,
    number: u64,
}

impl At<'_> {
    pub fn refuse(&self, fault: &str) -> Failure {
        Failure::new(Exit::Data, format!("{}:{}: {fault}", self.name, self.number))
    }
}

pub fn unreadable(name: &str, error: &std::io::Error) -> Failure {
    Failure::new(Exit::Data, format!("{name}: can't be read: {error}; check the path"))
}

/// Hands over every line; blank ones are passed over. Returns the bytes read.
pub fn each_line(
    mut input: impl BufRead,
    name: &str,
    mut each: impl FnMut(&[u8], &At<'_>) -> Result<()>,
) -> Result<u64> {
    let (mut bytes, mut buffer) = (0, Vec::new());
    for number in 1u64.. {
        buffer.clear();
        let mut line = input.by_ref().take(LINE_BYTES_MAX);
        let read = line.read_until(b'\n', &mut buffer).map_err(|error| unreadable(name, &error));
        let length = read? as u64;
        if length == 0 {
            break;
        }
        bytes += length;
        let at = At { name, number };
        if length == LINE_BYTES_MAX {
            let fault = format!("the line is longer than {} MiB", LINE_BYTES_MAX >> 20);
            return Err(at.refuse(&fault));
        }
        let text = without_mark(&buffer);
        if !text.iter().all(u8::is_ascii_whitespace) {
            each(text, &at)?;
        }
    }
    Ok(bytes)
}

/// What a line is that is no line of JSON lines; `None`: whatever is wrong, it is not that.
pub fn not_json_lines(
    text: &[u8],
    read: &std::result::Result<Value, Fault>,
    file: &str,
) -> Option<String> {
    match read {
        Ok(Value::Array(_)) | Err(Fault::Unfinished) if begins(text, b'[') => Some(format!(
            "is a JSON array; put each record on its own line, for example with `jq -c '.[]' {file}`"
        )),
        Err(Fault::Unfinished) if begins(text, b'{') => Some(format!(
            "the object does not end on this line; put each record on its own line, for example \
             with `jq -c . {file}`"
        )),
        Err(Fault::Trailing(Place { column, .. })) => Some(format!(
            "this line holds more than one JSON value (column {column}); put each record on its own \
             line, for example with `jq -c . {file}`"
        )),
        _ => None,
    }
}

/// Names fields of the schemas and no other: those may be identifiers.
pub fn describe(fault: Fault, is_known: &dyn Fn(&str) -> bool) -> String {
    match fault {
        Fault::NotUtf8 => "is not UTF-8 text; save the file as UTF-8".to_owned(),
        Fault::Unfinished => "is not JSON: it ends in the middle of a value".to_owned(),
        Fault::Trailing(place) => format!("holds more than one record ({})", text_of(place)),
        Fault::Syntax(place) => format!("is not JSON ({})", text_of(place)),
        Fault::Twice(path, place) => {
            let what = name(&path, is_known);
            format!("{what} appears twice ({}); remove one", text_of(place))
        }
    }
}

fn name(path: &[String], is_known: &dyn Fn(&str) -> bool) -> String {
    match path {
        [.., decisions, purpose] if decisions == "decisions" && !is_known(purpose) => {
            "a purpose in decisions".to_owned()
        }
        [.., last] if is_known(last) => {
            let shown = |name: &String| if is_known(name) { name.clone() } else { "*".to_owned() };
            path.iter().map(shown).collect::<Vec<_>>().join(".")
        }
        _ => "an unknown field".to_owned(),
    }
}

fn without_mark(text: &[u8]) -> &[u8] {
    text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text)
}

fn begins(text: &[u8], byte: u8) -> bool {
    text.trim_ascii_start().first() == Some(&byte)
}

fn text_of(Place { line, column }: Place) -> String {
    match line {
        1 => format!("column {column}"),
        line => format!("its line {line}, column {column}"),
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
pub fn typed<T: serde::de::DeserializeOwned>(value: &mut Value) -> std::result::Result<T, String> {
    serde_json::from_value(value.take()).map_err(|_| "does not match its schema".to_owned())
}

pub fn check_id(field: &str, id: &str) -> std::result::Result<(), String> {
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
            (None, "{", "is not JSON: it ends in the middle"),
            (None, "{]", "is not JSON (column 2)"),
            (None, "[]", "is neither a click"),
            (Some(Kind::Clicks), "[]", "the line must be an object"),
            (Some(Kind::Consent), CLICK, "the line has an unknown field"),
            (None, r#"{"occurred_at":5}"#, "event_id is missing"),
            (None, &CLICK.replace("\"s\"", "\"\""), "session_id must have 1 to 512 bytes"),
            (None, &CONSENT.replace("\"p\"", "\"__assent_x\""), "subject_id must have 1 to 512"),
        ] {
            let fault = LineParser::new(kind).parse(text.as_bytes()).err().unwrap();
            assert!(fault.starts_with(expected), "{text}: {fault}");
        }
    }

    /// The message for a file of this text, after the file's name.
    fn refused(text: &[u8]) -> String {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text).unwrap();
        let failure = LineParser::new(None).each(file.path(), |_| Ok(())).unwrap_err();
        assert_eq!(failure.exit, Exit::Data);
        let name = file.path().display().to_string();
        failure.message.strip_prefix(&name).expect("the file's name").replace(&name, "FILE")
    }

    #[test]
    fn what_is_there_twice_is_refused_and_no_identifier_is_quoted() {
        let decisions = |inner: &str| CONSENT.replace("{}", &format!("{{{inner}}}"));
        let denied = r#"{"status":"DENIED","since":1}"#;
        let granted = r#"{"status":"GRANTED","since":1}"#;
        for (text, expected) in [
            (
                CONSENT.replace("{\"sub", "{\"version\":9,\"sub"),
                ":1: version appears twice (column ",
            ),
            (
                decisions(&format!(r#""secret":{denied},"secret":{granted}"#)),
                ":1: a purpose in decisions appears twice (column ",
            ),
            (
                decisions(r#""secret":{"status":"DENIED","since":1,"status":"GRANTED"}"#),
                ":1: decisions.*.status appears twice (column ",
            ),
            (CLICK.replace("{\"eve", "{\"gpc\":true,\"gpc\":false,\"eve"), ":1: gpc appears twice"),
            (
                CLICK.replace('{', "{\"secret\":1,\"secret\":2,"),
                ":1: an unknown field appears twice",
            ),
        ] {
            let fault = refused(text.as_bytes());
            assert!(fault.starts_with(expected), "{fault}");
            assert!(!fault.contains("secret"), "{fault}");
        }
    }

    #[test]
    fn what_is_not_json_lines_is_told_as_what_it_is() {
        let pretty = CONSENT.replace(',', ",\n  ");
        for (text, expected) in [
            (
                pretty.clone(),
                ":1: the object does not end on this line; put each record on its own line, for \
                 example with `jq -c . FILE`",
            ),
            (pretty.replace('\n', "\r\n"), ":1: the object does not end on this line"),
            (
                format!("[{CONSENT}]"),
                ":1: is a JSON array; put each record on its own line, for example with `jq -c \
                 '.[]' FILE`",
            ),
            (format!("\u{feff}[\n  {CONSENT},\n  {CONSENT}\n]"), ":1: is a JSON array"),
            (format!("{CONSENT}{CLICK}"), ":1: this line holds more than one JSON value (column "),
            (format!("{CONSENT}\r{CLICK}\r"), ":1: this line holds more than one JSON value"),
        ] {
            let fault = refused(text.as_bytes());
            assert!(fault.starts_with(expected), "{fault}");
        }
        let utf_16: Vec<u8> = CONSENT.encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert!(refused(&[&[0xff, 0xfe][..], &utf_16].concat()).starts_with(":1: is not UTF-8"));
        assert!(refused(&vec![b' '; 5 << 20]).starts_with(":1: the line is longer than 4 MiB"));
    }

    #[test]
    fn byte_order_marks_windows_line_ends_and_empty_lines_are_no_fault() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let mark = '\u{feff}';
        write!(file, "{mark}{CLICK}\r\n\r\n \t\n{mark}{CONSENT}\r\n{mark}\r\n{CLICK}").unwrap();
        let mut kinds = Vec::new();
        let read = LineParser::new(None).each(file.path(), |line| {
            kinds.push(line.kind());
            Ok(())
        });
        assert_eq!(read, Ok(file.path().metadata().unwrap().len()));
        assert_eq!(kinds, [Kind::Clicks, Kind::Consent, Kind::Clicks]);
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
