//! `assent replay`: clicks and consent from JSON lines into the input topics.
//!
//! The files are read twice: first to check every line and find the newest time, then to send. So
//! nothing is sent from files of which a line is faulty.

mod json;
mod lines;
mod schema;
mod shift;

use std::path::PathBuf;

use indicatif::ProgressBar;
use serde_json::json;

pub use json::parse as parse_json;
pub use lines::{
    At, Kind, Line, LineParser, check_id, describe, each_line, not_json_lines, typed, unreadable,
};
pub use schema::Schema;

use super::{Globals, progress, stdout, when};
use crate::clock::{Clock, SystemClock};
use crate::failure::{Exit, Failure, Result};
use crate::kafka::inputs::InputWriter;
use assent_contract::domain::time::{Span, Timestamp};

/// Write clicks and consent records from JSON lines to Kafka
///
/// Each line is one ClickEvent or ConsentRecord with the fields of its schema in schemas/. Times
/// are epoch milliseconds or RFC 3339. All lines are checked before anything is sent. Consent is
/// sent first and acknowledged before the first click.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  assent replay consent.jsonl clicks.jsonl --shift-to now")]
pub struct Args {
    /// Files with JSON lines
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Shift all times by the same amount, so that the newest occurred_at or recorded_at becomes
    /// this time: `now`, RFC 3339 or epoch milliseconds
    #[arg(long, value_name = "TIME")]
    shift_to: Option<String>,
    /// What every line is [default: decided by the fields of each line]
    #[arg(long, value_enum)]
    kind: Option<Kind>,
}

/// What the first reading found.
#[derive(Default)]
struct Survey {
    clicks: u64,
    consent: u64,
    newest: Option<Timestamp>,
}

pub fn execute(args: &Args, globals: &Globals) -> Result<()> {
    let config = globals.load_config()?;
    let target = args.target()?;
    let parser = LineParser::new(args.kind);
    let survey = survey(&parser, &args.files)?;
    let by = match (target, survey.newest) {
        (Some(target), Some(newest)) => shift::amount(newest, target),
        _ => Span::default(),
    };
    let replay = Replay { parser, by, writer: InputWriter::open(&config)? };
    let bar = progress::bar(survey.clicks + survey.consent, "lines");
    replay.send(&args.files, Kind::Consent, survey.consent, &bar)?;
    replay.send(&args.files, Kind::Clicks, survey.clicks, &bar)?;
    bar.finish_and_clear();
    print(&survey, by, globals.json)
}

impl Args {
    fn target(&self) -> Result<Option<Timestamp>> {
        let parse = |text: &String| when::parse(text, SystemClock.now());
        self.shift_to
            .as_ref()
            .map(parse)
            .transpose()
            .map_err(|why| Failure::new(Exit::Usage, format!("--shift-to: {why}")))
    }
}

fn survey(parser: &LineParser, files: &[PathBuf]) -> Result<Survey> {
    let mut survey = Survey::default();
    for file in files {
        parser.each(file, |line| {
            match line.kind() {
                Kind::Clicks => survey.clicks += 1,
                Kind::Consent => survey.consent += 1,
            }
            survey.newest = survey.newest.max(Some(line.time()));
            Ok(())
        })?;
    }
    Ok(survey)
}

struct Replay {
    parser: LineParser,
    by: Span,
    writer: InputWriter,
}

impl Replay {
    /// Sends the lines of one kind, in the order of the files, and waits for their acknowledgement.
    fn send(&self, files: &[PathBuf], kind: Kind, count: u64, bar: &ProgressBar) -> Result<()> {
        if count == 0 {
            return Ok(());
        }
        for file in files {
            self.parser.each(file, |line| {
                if line.kind() == kind {
                    self.send_line(line)?;
                    bar.inc(1);
                }
                Ok(())
            })?;
        }
        self.writer.flush()
    }

    fn send_line(&self, line: Line) -> Result<()> {
        match line {
            Line::Click(mut click) => {
                shift::click(&mut click, self.by);
                self.writer.send_click(&click)
            }
            Line::Consent(mut record) => {
                shift::consent(&mut record, self.by);
                self.writer.send_consent(&record)
            }
        }
    }
}

fn print(survey: &Survey, by: Span, is_json: bool) -> Result<()> {
    let Survey { clicks, consent, .. } = survey;
    if is_json {
        let result = json!({"clicks": clicks, "consent": consent, "shifted_ms": by.0});
        return stdout::json(&result);
    }
    stdout::line(&format!(
        "replayed {consent} consent records and {clicks} clicks, times {}",
        moved(by)
    ))
}

fn moved(by: Span) -> String {
    match by.0 {
        0 => "unchanged".to_owned(),
        by => format!("shifted by {by} ms"),
    }
}
