//! `assent dead-letters`: what could not be used, and why. Shows places and reasons, never payloads.

use std::time::Duration;

use rdkafka::Message;
use rdkafka::message::BorrowedMessage;
use serde_json::json;

use super::{Globals, progress, stderr, stdout, when};
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::failure::{Exit, Failure, Result};
use crate::kafka::read::{Start, TopicReader};
use crate::registry::Reading;
use assent_contract::domain::dead_letter::DeadLetter;
use assent_contract::domain::foreign_text::shown;
use assent_contract::domain::hex::hex;
use assent_contract::domain::outcome::DeadLetterReason;
use assent_contract::domain::time::Timestamp;
use assent_contract::wire::decode_dead_letter;

/// Show which inputs could not be used, and why
#[derive(clap::Args)]
#[command(after_help = "Example:\n  assent dead-letters list --json")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    List(ListArgs),
}

/// List the dead letters that the topic still holds, partition by partition
///
/// Each line shows the topic, partition and offset of the input (the first and last offset if a
/// whole batch could not be read), the reason, the time of the failure and what is wrong. The input
/// itself stays at that offset until the retention of its topic removes it.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  assent dead-letters list --reason undecodable --since \
                  2026-11-22T00:00:00Z\n  assent dead-letters list --follow --json")]
struct ListArgs {
    /// Keep printing new dead letters until interrupted
    #[arg(long)]
    follow: bool,
    /// Show only dead letters of this input topic
    #[arg(long)]
    topic: Option<String>,
    /// Show only dead letters with this reason, for example wrong_key
    #[arg(long)]
    reason: Option<String>,
    /// Show only failures since this time (`now`, RFC 3339 or epoch milliseconds)
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Show at most this many
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
}

pub fn execute(args: &Args, globals: &Globals) -> Result<()> {
    let Command::List(args) = &args.command;
    let config = globals.load_config()?;
    let wanted = Wanted::of(args, &config)?;
    let mut list = List {
        wanted,
        schemas: Reading::open(&config)?,
        is_json: globals.json,
        left: args.limit.unwrap_or(u64::MAX),
        shown: 0,
        others: 0,
        unreadable: 0,
    };
    if args.follow {
        list.schemas = list.schemas.for_ever();
    }
    let topic = &config.topics.dead_letters;
    let reader = TopicReader::topics(&config, std::slice::from_ref(topic), Start::Beginning)?;
    list.read(&reader)?;
    list.conclude(topic);
    while args.follow && list.left > 0 {
        if let Some(message) = reader.next(Duration::from_millis(100)) {
            list.take(&message)?;
        }
    }
    Ok(())
}

struct Wanted {
    topic: Option<String>,
    reason: Option<DeadLetterReason>,
    since: Timestamp,
}

impl Wanted {
    fn of(args: &ListArgs, config: &Config) -> Result<Self> {
        let since = args.since.as_deref().map(|text| when::parse(text, SystemClock.now()));
        let since = since.transpose().map_err(|why| usage(format!("--since: {why}")))?;
        let reason = args.reason.as_deref().map(reason).transpose()?;
        let inputs = [&config.topics.clickstream, &config.topics.consent];
        if let Some(topic) = args.topic.as_ref().filter(|topic| !inputs.contains(topic)) {
            let [clicks, consent] = inputs;
            return Err(usage(format!(
                "--topic {topic}: only the input topics have dead letters; use {clicks} or \
                 {consent}"
            )));
        }
        Ok(Self { topic: args.topic.clone(), reason, since: since.unwrap_or(Timestamp::MIN) })
    }

    fn has(&self, letter: &DeadLetter) -> bool {
        self.topic.as_ref().is_none_or(|topic| *topic == letter.topic)
            && self.reason.is_none_or(|reason| reason == letter.reason)
            && letter.failed_at >= self.since
    }
}

fn reason(text: &str) -> Result<DeadLetterReason> {
    let named = text.to_ascii_uppercase().replace('-', "_");
    let all = DeadLetterReason::ALL;
    all.iter().copied().find(|reason| reason.symbol() == named).ok_or_else(|| {
        let known: Vec<_> = all.iter().map(|reason| reason.symbol().to_lowercase()).collect();
        usage(format!("--reason {text}: unknown reason; use one of {}", known.join(", ")))
    })
}

fn usage(message: String) -> Failure {
    Failure::new(Exit::Usage, message)
}

struct List {
    wanted: Wanted,
    schemas: Reading,
    is_json: bool,
    left: u64,
    shown: u64,
    /// Letters that were not asked for.
    others: u64,
    unreadable: u64,
}

impl List {
    /// To the end as it is now.
    fn read(&mut self, reader: &TopicReader) -> Result<()> {
        progress::read_to_end(reader, |message, bar| bar.suspend(|| self.take(message)))
    }

    fn take(&mut self, message: &BorrowedMessage<'_>) -> Result<()> {
        let Some(value) = message.payload() else { return Ok(()) };
        match self.schemas.read(|known| decode_dead_letter(value, known))? {
            Ok(letter) if !self.wanted.has(&letter) => self.others += 1,
            Ok(_) if self.left == 0 => {}
            Ok(letter) => {
                let last = message.key().and_then(|key| letter.last_offset(key));
                self.show(&letter, last)?;
                self.left -= 1;
                self.shown += 1;
            }
            Err(_) => self.unreadable += 1,
        }
        Ok(())
    }

    fn show(&self, letter: &DeadLetter, last: Option<i64>) -> Result<()> {
        if self.is_json {
            stdout::json(&to_json(letter, last))
        } else {
            stdout::line(&render(letter, last))
        }
    }

    /// What there is to say where the list alone would mislead.
    fn conclude(&self, topic: &str) {
        if self.unreadable > 0 {
            stderr::warning(&format!(
                "{} records of {topic} can't be read as dead letters",
                self.unreadable
            ));
        }
        match (self.shown, self.others) {
            (0, 0) => stderr::line(&format!("{topic} holds no dead letters")),
            (0, others) => {
                stderr::line(&format!("no dead letter matches; {topic} holds {others} others"));
            }
            _ => {}
        }
    }
}

/// Field names as in the schema; `last_offset` is null where the letter is of one record.
fn to_json(letter: &DeadLetter, last: Option<i64>) -> serde_json::Value {
    json!({
        "topic": letter.topic,
        "partition": letter.partition,
        "offset": letter.offset,
        "last_offset": last,
        "reason": letter.reason.symbol(),
        "failed_at": letter.failed_at,
        "detail": letter.detail,
        "payload_sha256": letter.payload_sha256.as_ref().map(|hash| hex(hash)),
    })
}

fn render(letter: &DeadLetter, last: Option<i64>) -> String {
    let last = last.map(|last| format!("-{last}")).unwrap_or_default();
    format!(
        "{}/{}/{}{last}  {}  {}  {}",
        shown(&letter.topic),
        letter.partition,
        letter.offset,
        letter.reason.symbol(),
        when::text(letter.failed_at),
        shown(&letter.detail)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(detail: &str) -> DeadLetter {
        DeadLetter {
            reason: DeadLetterReason::Undecodable,
            topic: "clickstream".to_owned(),
            partition: 3,
            offset: 118,
            payload_sha256: None,
            failed_at: Timestamp(1_795_305_600_000),
            detail: detail.to_owned(),
        }
    }

    #[test]
    fn a_line_has_place_reason_time_and_what_is_wrong() {
        let line = render(&letter("cut short"), None);
        assert_eq!(line, "clickstream/3/118  UNDECODABLE  2026-11-22T00:00:00Z  cut short");
        assert!(render(&letter("x"), Some(240)).starts_with("clickstream/3/118-240  "));
        let line = render(&letter(&format!("\u{1b}[2J\r{}", "x".repeat(10_000))), None);
        assert!(!line.contains('\u{1b}') && line.chars().count() < 300, "{line}");
    }

    #[test]
    fn a_reason_is_named_in_any_case_and_an_unknown_one_is_refused() {
        for text in ["wrong_key", "WRONG_KEY", "wrong-key"] {
            assert_eq!(reason(text), Ok(DeadLetterReason::WrongKey));
        }
        let failure = reason("wrongkey").unwrap_err();
        assert_eq!(failure.exit, Exit::Usage);
        assert!(failure.message.contains("wrong_partition"), "{failure}");
    }
}
