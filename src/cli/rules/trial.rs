//! `assent rules try`: what would the gate decide? Questions as JSON lines, one answer a line.
//!
//! `assent_contract::trial` judges; this reads, and says what is wrong with a line.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use super::super::replay::{
    At, Schema, check_id, describe, each_line, not_json_lines, parse_json, typed, unreadable,
};
use super::super::{Globals, stdout};
use crate::failure::Result;
use assent_contract::domain::foreign_text::shown;
use assent_contract::rulebook::Rulebook;
use assent_contract::trial::{Question, judge};

/// Ask the gate what it would decide, and why
///
/// Each line of the input is a question as JSON, with the fields `purpose`, `record`, `unreadable`,
/// `signal_at`, `erased_at`, `occurred_at`, `now` and `stale`; all but `purpose` and `now` may be
/// left out. `record` is a consent record with the fields of its schema in schemas/. Without
/// `occurred_at` there is no click: the question is whether the purpose may be used at all. Times
/// are epoch milliseconds or RFC 3339.
///
/// Each answer is a line of JSON: the verdict, whether it allows, the line of the gate's table,
/// when that line applies, its citation, and what an assignment would rest on. The code that
/// answers is the code that decides in `run`. Nothing is read but the input and the rulebook.
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  echo '{\"purpose\": \"personalized-offers\", \"record\": null, \"now\": \
                  1795305600000}' |\n    assent rules try --rulebook rules/children-retail.yaml"
)]
pub struct Args {
    /// File with a question in each line, or - for stdin
    #[arg(default_value = "-")]
    file: PathBuf,
    /// Rulebook file [default: the configured rulebook]
    #[arg(long, value_name = "FILE")]
    rulebook: Option<PathBuf>,
}

pub fn run(args: &Args, globals: &Globals) -> Result<()> {
    let rulebook = super::read(&super::chosen(args.rulebook.as_ref(), globals)?)?;
    if args.file == Path::new("-") {
        return answer_all(std::io::stdin().lock(), "stdin", &rulebook);
    }
    let name = args.file.display().to_string();
    let file = File::open(&args.file).map_err(|error| unreadable(&name, &error))?;
    answer_all(BufReader::new(file), &name, &rulebook)
}

/// Each as it comes, up to the first line that is faulty.
fn answer_all(input: impl BufRead, name: &str, rulebook: &Rulebook) -> Result<()> {
    let schema = Schema::question();
    let read = each_line(input, name, |text, at| {
        let question = question(&schema, text, name).map_err(|fault| at.refuse(&fault))?;
        answer(&question, at, rulebook)
    });
    read.map(|_| ())
}

fn question(schema: &Schema, text: &[u8], name: &str) -> std::result::Result<Question, String> {
    let read = parse_json(text);
    if let Some(fault) = not_json_lines(text, &read, name) {
        return Err(fault);
    }
    let mut value = read.map_err(|fault| describe(fault, &|name| schema.has_name(name)))?;
    schema.conform(&mut value)?;
    let question: Question = typed(&mut value)?;
    if let Some(record) = &question.record {
        check_id("record.subject_id", &record.subject_id)?;
    }
    Ok(question)
}

fn answer(question: &Question, at: &At<'_>, rulebook: &Rulebook) -> Result<()> {
    let Some(answer) = judge(question, rulebook) else {
        let purposes: Vec<&str> =
            rulebook.purposes.iter().map(|purpose| purpose.id.as_str()).collect();
        let (asked, known) = (shown(&question.purpose), purposes.join(", "));
        let fault = format!("purpose: the rulebook does not declare {asked}; it declares {known}");
        return Err(at.refuse(&fault));
    };
    stdout::json(&answer)
}
