//! What every question to the audit has: who is meant, why it is asked, where the index lies.

use std::path::PathBuf;

use super::super::{progress, stderr, when};
use crate::audit::access::{Asked, record};
use crate::audit::index::Index;
use crate::clock::{Clock, SystemClock};
use crate::config::{Config, read_keyset};
use crate::failure::{Exit, Failure, Result};
use crate::kafka::scan::Ends;
use assent_contract::domain::audit::AuditToken;
use assent_contract::domain::audit::access::AuditCommand;
use assent_contract::domain::foreign_text::shown;
use assent_contract::domain::ids::is_valid_id;
use assent_contract::domain::outcome::InputKind;
use assent_contract::domain::pseudonym::{KeyHistory, KeyRing, Keyset};
use assent_contract::domain::time::Timestamp;
use assent_inquiry::filter::Input;

/// Options of each question.
#[derive(clap::Args)]
pub struct Options {
    /// Why this is asked, for example the number of a request; it is recorded
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Directory of the local index; it can be deleted at any time
    /// [default: audit-index in pipeline.state_dir]
    #[arg(long, value_name = "DIR")]
    index: Option<PathBuf>,
}

/// A subject that was named, and all its tokens.
pub struct Subject {
    pub id: String,
    pub keyset: Keyset,
    /// Under every key version that still has its secret.
    pub tokens: Vec<AuditToken>,
    /// Under the active one.
    pub token: AuditToken,
}

impl Subject {
    pub fn named(config: &Config, option: &str, id: &str) -> Result<Self> {
        if !is_valid_id(id) {
            return Err(usage(format!(
                "{option}: must have 1 to 512 bytes and must not begin with __assent_"
            )));
        }
        let keyset = read_keyset(&config.keyset)?;
        let tokens = KeyHistory::new(&keyset, &[]).audit_tokens(id.as_bytes()).collect();
        let token = KeyRing::new(&keyset, &[]).audit_token(id.as_bytes());
        Ok(Self { id: id.to_owned(), keyset, tokens, token })
    }

    /// Where it lies, with so many partitions.
    pub fn partition(&self, config: &Config, count: usize) -> i32 {
        config.kafka.partitioner.partition(self.id.as_bytes(), count as i32)
    }
}

impl Options {
    /// The index, with what came since.
    pub fn open_index(&self, config: &Config, ends: &Ends<'_>) -> Result<Index> {
        let own = || config.pipeline.state_dir.join("audit-index");
        let folder = self.index.clone().unwrap_or_else(own);
        let bar = progress::bar(0, "records of the audit");
        let index = Index::open(config, &folder, ends, &bar)?;
        bar.finish_and_clear();
        Ok(index)
    }

    /// No answer without a record of the question.
    pub fn record(
        &self,
        config: &Config,
        command: AuditCommand,
        subject: Option<&Subject>,
        filter: String,
        rows: Option<u64>,
    ) -> Result<()> {
        let reason = self.reason.clone();
        let names = |text: &str| subject.is_some_and(|subject| text.contains(&subject.id));
        if reason.as_deref().is_some_and(names) {
            return Err(usage(
                "--reason: it names the subject; what is recorded holds no raw id, so leave the id out"
                    .to_owned(),
            ));
        }
        let subject = subject.map(|subject| subject.token);
        record(config, Asked { command, subject, filter, rows, reason })
    }
}

/// Says what of the topic could not be read; fails (1) where there was something.
pub fn report_damage(config: &Config, index: &Index, partition: Option<i32>) -> Result<()> {
    let damage = index.damage()?;
    let found = damage.iter().filter(|it| partition.is_none_or(|one| it.partition == one));
    let mut count = 0;
    for record in found {
        count += 1;
        stderr::line(&format!(
            "topic {}, partition {}, offset {}: {}",
            config.topics.audit,
            record.partition,
            record.offset,
            shown(&record.why)
        ));
    }
    match count {
        0 => Ok(()),
        count => Err(Failure::failed(format!(
            "the answer lacks what is in {count} damaged records of topic {}; find out with `assent \
             audit verify` what happened to them",
            config.topics.audit
        ))),
    }
}

/// A time that an option gives.
pub fn time(option: &str, text: Option<&String>) -> Result<Option<Timestamp>> {
    let parse = |text: &String| when::parse(text, SystemClock.now());
    text.map(parse).transpose().map_err(|why| usage(format!("{option}: {why}")))
}

/// `TOPIC/PARTITION/OFFSET` of one of the two inputs.
pub fn input(config: &Config, option: &str, text: &str) -> Result<Input> {
    let topics = &config.topics;
    let mut parts = text.rsplitn(3, '/');
    let (offset, partition, topic) = (parts.next(), parts.next(), parts.next());
    let number = |part: Option<&str>| part.and_then(|part| part.parse::<i64>().ok());
    let kind = match topic {
        Some(topic) if topic == topics.clickstream => Some(InputKind::Click),
        Some(topic) if topic == topics.consent => Some(InputKind::Consent),
        _ => None,
    };
    let partition = number(partition).and_then(|it| i32::try_from(it).ok());
    match (kind, partition, number(offset)) {
        (Some(kind), Some(partition), Some(offset)) if partition >= 0 && offset >= 0 => {
            Ok(Input { kind, partition, offset })
        }
        _ => Err(usage(format!(
            "{option} {}: not a record of an input; write TOPIC/PARTITION/OFFSET with topic {} or {}",
            shown(text),
            topics.clickstream,
            topics.consent
        ))),
    }
}

pub fn usage(message: String) -> Failure {
    Failure::new(Exit::Usage, message)
}
