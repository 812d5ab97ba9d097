//! `assent segments export`: what may be used now for each id of a list.
//!
//! Forward only: an id becomes its pseudonyms, and no pseudonym becomes an id. No message repeats an id: a
//! line is named by its number (INV-6).

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use indicatif::ProgressBar;
use serde_json::json;

use super::super::replay::{At, check_id, each_line, unreadable};
use super::super::{progress, stdout};
use super::latest::{Held, Latest};
use super::{chosen, live_pseudonyms};
use crate::clock::{Clock, SystemClock};
use crate::config::{Config, read_keyset};
use crate::failure::{Failure, Result};
use assent_contract::domain::pseudonym::KeyRing;
use assent_contract::domain::time::Timestamp;
use assent_contract::rulebook::Rulebook;

/// Rows that are written at a time; an assignment that ends meanwhile is looked for anew with the next ones.
const CHUNK: usize = 1_000;

/// What is put together at a time: most rows are shorter.
const ROW_BYTES: usize = 256;

/// Export the segments that may be used now for each subject id of a list
///
/// Reads the segment topic once, to its end, then writes one row for each id: `id`, `segments`
/// (separated by spaces), `basis` and `expires_at` (epoch milliseconds). An id without a live
/// assignment, whatever the reason, gets the default segment, and no basis and end. Needs the keyset.
///
/// The rows are a copy: what docs/readers.md asks of readers holds for whoever uses them. Use no row
/// past its `expires_at`, and export anew instead of keeping it: an opt-out shows in no old export.
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  assent segments export --purpose personalized-offers --ids members.txt > segments.csv"
)]
pub struct Args {
    /// Purpose that the segments are to be used for
    #[arg(long)]
    purpose: String,
    /// File with one subject id in each line, or - for stdin
    #[arg(long, value_name = "FILE")]
    ids: PathBuf,
    /// Format of the rows [default: csv, with --json jsonl]
    #[arg(long, value_enum)]
    format: Option<Format>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Csv,
    Jsonl,
}

pub fn run(args: &Args, config: &Config, rulebook: &Rulebook, is_json: bool) -> Result<()> {
    let purposes = chosen(Some(&args.purpose), rulebook)?;
    let ids = Ids::open(&args.ids)?;
    let keys = KeyRing::new(&read_keyset(&config.keyset)?, &purposes);
    let latest = Latest::read(config, &purposes)?;
    let format = args.format.unwrap_or(if is_json { Format::Jsonl } else { Format::Csv });
    let mut rows = Rows::begin(format, &rulebook.default_segment)?;
    let read = ids.each(|id| {
        let now = rows.now;
        let held = live_pseudonyms(&keys, id).find_map(|it| latest.find(0, &it, now));
        rows.add(id, held)
    });
    rows.write()?;
    read
}

/// A list of ids.
struct Ids {
    name: String,
    input: Box<dyn BufRead>,
    /// Bytes; 0: nobody knows.
    length: u64,
}

impl Ids {
    fn open(path: &Path) -> Result<Self> {
        if path == Path::new("-") {
            let input = Box::new(BufReader::new(std::io::stdin()));
            return Ok(Self { name: "stdin".to_owned(), input, length: 0 });
        }
        let name = path.display().to_string();
        let file = File::open(path).map_err(|error| unreadable(&name, &error))?;
        let length = file.metadata().map_err(|error| unreadable(&name, &error))?.len();
        Ok(Self { name, input: Box::new(BufReader::new(file)), length })
    }

    fn each(self, mut each: impl FnMut(&str) -> Result<()>) -> Result<()> {
        let bar = progress::bar(self.length, "bytes of ids");
        let input = BufReader::new(Counted { inner: self.input, bar: bar.clone() });
        each_line(input, &self.name, |line, at| each(id_of(line, at)?))?;
        bar.finish_and_clear();
        Ok(())
    }
}

/// Moves the bar on.
struct Counted<R> {
    inner: R,
    bar: ProgressBar,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.bar.inc(read as u64);
        Ok(read)
    }
}

fn id_of<'a>(line: &'a [u8], at: &At<'_>) -> Result<&'a str> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let refuse = |fault: &str| -> Failure {
        at.refuse(&format!("{fault}; the rows before it were written"))
    };
    let id = std::str::from_utf8(line).map_err(|_| refuse("is not UTF-8 text"))?;
    check_id("the id", id).map_err(|fault| refuse(&fault))?;
    Ok(id)
}

/// Rows that are not written yet.
struct Rows<'a> {
    format: Format,
    default_segment: &'a str,
    text: Vec<u8>,
    count: usize,
    /// What the rows say holds as of then.
    now: Timestamp,
}

impl<'a> Rows<'a> {
    fn begin(format: Format, default_segment: &'a str) -> Result<Self> {
        let now = SystemClock.now();
        let mut rows = Self { format, default_segment, text: Vec::new(), count: 0, now };
        if format == Format::Csv {
            rows.put_csv(["id", "segments", "basis", "expires_at"])?;
        }
        Ok(rows)
    }

    fn add(&mut self, id: &str, held: Option<&Held>) -> Result<()> {
        let default_segment = [self.default_segment.to_owned()];
        let segments = held.map_or(&default_segment[..], |held| &held.assigned.segments);
        let basis = held.map(|held| held.assigned.basis.symbol());
        let expires_at = held.map(|held| held.expires_at.0);
        match self.format {
            Format::Csv => {
                let expires_at = expires_at.map(|at| at.to_string()).unwrap_or_default();
                let segments = segments.join(" ");
                self.put_csv([id, &segments, basis.unwrap_or_default(), &expires_at])?;
            }
            Format::Jsonl => {
                let row = json!({
                    "id": id, "segments": segments, "basis": basis, "expires_at": expires_at,
                });
                self.text.extend(format!("{row}\n").bytes());
            }
        }
        self.count += 1;
        if self.count < CHUNK { Ok(()) } else { self.write() }
    }

    fn put_csv(&mut self, fields: [&str; 4]) -> Result<()> {
        let mut writer =
            csv::WriterBuilder::new().buffer_capacity(ROW_BYTES).from_writer(&mut self.text);
        let written = writer.write_record(fields).and_then(|()| Ok(writer.flush()?));
        written.map_err(|error| Failure::failed(format!("a row can't be written: {error}")))
    }

    fn write(&mut self) -> Result<()> {
        stdout::bytes(&self.text)?;
        self.text.clear();
        (self.count, self.now) = (0, SystemClock.now());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::latest::Assigned;
    use super::*;
    use assent_contract::domain::outcome::Basis;

    fn rows(format: Format) -> String {
        let mut rows = Rows::begin(format, "everybody").expect("a header");
        let assigned = Assigned { segments: vec!["a".into(), "b".into()], basis: Basis::OptIn };
        let held = Held { assigned: Arc::new(assigned), expires_at: Timestamp(7) };
        rows.add("kim", Some(&held)).expect("a row");
        rows.add("a,\"b\" c", None).expect("a row");
        String::from_utf8(rows.text).expect("UTF-8")
    }

    #[test]
    fn a_row_has_the_segments_or_the_default_and_is_quoted_where_it_must_be() {
        let csv = "id,segments,basis,expires_at\nkim,a b,OPT_IN,7\n\"a,\"\"b\"\" c\",everybody,,\n";
        assert_eq!(rows(Format::Csv), csv);
        let jsonl = "{\"id\":\"kim\",\"segments\":[\"a\",\"b\"],\"basis\":\"OPT_IN\",\"expires_at\":7}\n\
                     {\"id\":\"a,\\\"b\\\" c\",\"segments\":[\"everybody\"],\"basis\":null,\"expires_at\":null}\n";
        assert_eq!(rows(Format::Jsonl), jsonl);
    }

    #[test]
    fn a_line_is_an_id_without_its_end_and_a_fault_repeats_nothing_of_it() {
        let read = |text: &[u8]| {
            let mut ids = Vec::new();
            let read = each_line(text, "ids.txt", |line, at| {
                ids.push(id_of(line, at)?.to_owned());
                Ok(())
            });
            read.map(|_| ids).map_err(|failure| failure.message)
        };
        assert_eq!(
            read(b"kim\r\n\n l ee \nx"),
            Ok(vec!["kim".into(), " l ee ".into(), "x".into()])
        );
        let long = "y".repeat(513);
        for wrong in [format!("kim\n{long}\n").as_bytes(), b"kim\n\xff\n", b"kim\n__assent_secret"]
        {
            let fault = read(wrong).expect_err("a fault");
            assert!(fault.starts_with("ids.txt:2: "), "{fault}");
            assert!(!fault.contains("yyy") && !fault.contains("secret"), "{fault}");
        }
    }
}
