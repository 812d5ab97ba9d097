//! A rule's own topic and own reader: what one rule leaves behind is no other's business.
//!
//! Nothing rests on sleeping. What must come is asked for until it comes. What must not come is asked for once
//! a key that was written later is used: records of a partition are applied in their order.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use tempfile::TempDir;

use super::answer::Answer;
use super::process::{Reader, Silence};
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::failure::{Exit, Failure, Result};
use crate::kafka::scratch_topic::{End, ScratchTopic, What, Written};
use crate::kafka::topic_plan::Setting;
use assent_contract::domain::outcome::Basis;
use assent_contract::domain::pseudonym::Pseudonym;
use assent_contract::domain::segment::SegmentAssignment;
use assent_contract::domain::time::{Span, Timestamp};
use assent_contract::wire::{SchemaName, frame};

/// Keys of one rule lie in both.
pub const PARTITIONS: i32 = 2;

/// Far beyond any check.
pub const LONG: Span = Span(30 * Span::DAY.0);

/// A reader that begins at the end sees the next one: where to begin is a rule of its own.
const WRITTEN_AGAIN: Duration = Duration::from_secs(1);

/// Between two questions for what has not come yet.
const ASKED_AGAIN: Duration = Duration::from_millis(10);

/// The segment of keys that only show how far the reader is.
const MARK: &str = "check-mark";

/// What all rules share.
pub struct Setup<'a> {
    pub config: &'a Config,
    pub topic: &'a str,
    /// Program and arguments.
    pub command: &'a [String],
    /// For how long a reader may need for a record, its start included.
    pub timeout: Duration,
    /// Are kafka.properties for the reader, too?
    pub passes_properties: bool,
    pub interrupted: &'a AtomicBool,
    /// Names of variables that are Assent's own.
    pub own_variables: &'a [String],
}

/// Why a rule is not kept, or not checked to its end.
pub enum Stop {
    Broken(String),
    /// It did not apply a record in time: nothing else can be told of it.
    Behind(String),
    Failed(Failure),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

pub type Step = std::result::Result<(), Stop>;

pub fn broken(seen: impl Into<String>) -> Stop {
    Stop::Broken(seen.into())
}

pub struct Trial<'a> {
    setup: &'a Setup<'a>,
    pub topic: ScratchTopic<'a>,
    reader: Option<Reader>,
    /// The reader's copy, and what it is told in files.
    folder: TempDir,
    group: String,
    delete_retention: Span,
    keys: u64,
}

impl<'a> Trial<'a> {
    /// `delete_retention`: for how long the topic says to keep tombstones.
    pub fn open(setup: &'a Setup<'a>, rule: &str, delete_retention: Span) -> Result<Self> {
        let settings = BTreeMap::from([
            // The latter for the removal of records; nothing is old enough to go by itself.
            ("cleanup.policy", Setting::Exactly("compact,delete")),
            ("retention.ms", Setting::Exactly("-1")),
            ("retention.bytes", Setting::Exactly("-1")),
            ("delete.retention.ms", Setting::AtLeast(delete_retention)),
        ]);
        let created = ScratchTopic::create(setup.config, setup.topic, PARTITIONS, settings)?;
        let topic = created.ok_or_else(|| exists(setup.topic))?;
        let folder =
            tempfile::Builder::new().prefix("assent-reader-").tempdir().map_err(|error| {
                Failure::failed(format!("no folder for the reader's copy: {error}"))
            })?;
        let group = format!("{}-{}", setup.topic, rule.to_ascii_lowercase());
        Ok(Self { setup, topic, reader: None, folder, group, delete_retention, keys: 0 })
    }

    /// Ends the reader and deletes the topic.
    pub fn close(mut self) -> Result<()> {
        self.stop();
        self.topic.delete()
    }

    /// A key in this partition, under key version 1.
    pub fn key(&mut self, partition: i32) -> String {
        self.key_under(1, partition)
    }

    pub fn key_under(&mut self, version: u8, partition: i32) -> String {
        loop {
            self.keys += 1;
            let hash = Sha256::digest(format!("{}/{}", self.setup.topic, self.keys));
            let mut bytes = [version; 17];
            bytes[1..].copy_from_slice(&hash[..16]);
            let key = Pseudonym(bytes).text();
            if self.topic.partition_of(&key) == partition {
                return key;
            }
        }
    }

    pub fn assign(&self, key: &str, segments: &[&str], expires_at: Timestamp) -> Result<()> {
        self.topic.put(&[assignment(key, segments, expires_at)])
    }

    pub fn remove(&self, key: &str) -> Result<()> {
        self.topic.put(&[tombstone(key, "opted_out")])
    }

    pub fn abort(&self, records: &[Written]) -> Result<()> {
        self.topic.transact(records, End::Abort)
    }

    pub fn start(&mut self) -> Result<()> {
        self.reader = Some(Reader::start(self.command()?)?);
        Ok(())
    }

    /// Starts it and waits until it keeps up: what is written from now on, it must see.
    pub fn begin(&mut self) -> Step {
        self.start()?;
        self.settle("at the start")
    }

    /// As somebody who ends it in good order.
    pub fn stop(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.stop();
        }
    }

    /// As a machine that loses its power, but for what is on its disk.
    pub fn kill(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.kill();
        }
    }

    /// For how long a tombstone may be on its way to a reader that keeps up: a fraction of a second, and room
    /// for a machine that is busy.
    pub fn at_once(&self) -> Duration {
        self.setup.timeout / 3
    }

    /// Until everything that was written so far is applied.
    pub fn settle(&mut self, when: &str) -> Step {
        (0..PARTITIONS).try_for_each(|partition| self.settle_one(partition, when))
    }

    pub fn settle_one(&mut self, partition: i32, when: &str) -> Step {
        let mark = self.key(partition);
        let started = SystemClock.instant();
        let mut written: Option<Instant> = None;
        loop {
            let now = SystemClock.instant();
            if written.is_none_or(|at| now - at >= WRITTEN_AGAIN) {
                self.assign(&mark, &[MARK], SystemClock.now() + LONG)?;
                written = Some(now);
            }
            let answer = self.ask(&mark, when)?;
            if answer == Answer::yes(&[MARK]) {
                return Ok(());
            }
            if now - started >= self.setup.timeout {
                return Err(Stop::Behind(format!(
                    "{when}: a new assignment was still not used after {} s: {}",
                    self.setup.timeout.as_secs(),
                    answer.text()
                )));
            }
            std::thread::sleep(ASKED_AGAIN);
        }
    }

    pub fn ask(&mut self, key: &str, when: &str) -> std::result::Result<Answer, Stop> {
        let Setup { timeout, interrupted, .. } = *self.setup;
        if interrupted.load(Ordering::Relaxed) {
            return Err(Stop::Failed(is_interrupted()));
        }
        let deadline = SystemClock.instant() + timeout;
        let Some(reader) = &mut self.reader else {
            return Err(Stop::Failed(Failure::failed("the reader was not started"))); // never
        };
        reader.ask(key, deadline, interrupted).map_err(|silence| match silence {
            Silence::Ended(how) => broken(format!("{when}: the reader is gone: {how}")),
            Silence::TimedOut => {
                Stop::Behind(format!("{when}: no answer within {} s", timeout.as_secs()))
            }
            Silence::Nonsense(what) => Stop::Failed(Failure::new(
                Exit::Data,
                format!(
                    "the reader said `{what}`; it must answer each line `use PSEUDONYM` with one line, \
                     `yes SEGMENTS` or `no`, and write nothing else to stdout (docs/readers.md)"
                ),
            )),
            Silence::Interrupted => Stop::Failed(is_interrupted()),
        })
    }

    /// What is used of a key now; what is wrong with another answer.
    pub fn expect(&mut self, key: &str, expected: &Answer, when: &str) -> Step {
        let answer = self.ask(key, when)?;
        if answer == *expected {
            return Ok(());
        }
        let (answer, expected) = (answer.text(), expected.text());
        Err(broken(format!("{when}: the answer is `{answer}`, not `{expected}`")))
    }

    /// Until this moment has passed.
    pub fn await_time(&self, time: Timestamp) -> Step {
        while SystemClock.now() <= time {
            if self.setup.interrupted.load(Ordering::Relaxed) {
                return Err(Stop::Failed(is_interrupted()));
            }
            std::thread::sleep(ASKED_AGAIN);
        }
        Ok(())
    }

    fn command(&self) -> Result<Command> {
        let Setup { config, topic, command, own_variables, .. } = self.setup;
        let [program, arguments @ ..] = *command else {
            return Err(Failure::new(Exit::Usage, "no command; give the reader's after --"));
        };
        let mut started = Command::new(program);
        started.args(arguments);
        for name in *own_variables {
            started.env_remove(name);
        }
        let copy = self.folder.path().join("copy");
        std::fs::create_dir_all(&copy).map_err(|error| unwritable(&copy, &error))?;
        started
            .env("ASSENT_READER_BOOTSTRAP_SERVERS", &config.kafka.bootstrap_servers)
            .env("ASSENT_READER_TOPIC", topic)
            .env("ASSENT_READER_GROUP", &self.group)
            .env("ASSENT_READER_COPY", copy)
            .env("ASSENT_READER_DELETE_RETENTION_MS", self.delete_retention.0.to_string());
        if self.setup.passes_properties {
            started.env("ASSENT_READER_PROPERTIES", self.properties()?);
        }
        Ok(started)
    }

    /// The folder is for this user alone.
    fn properties(&self) -> Result<std::path::PathBuf> {
        let path = self.folder.path().join("kafka.properties");
        let lines = self.setup.config.kafka.properties.iter();
        let lines: Vec<String> = lines.map(|(name, value)| format!("{name}={value}\n")).collect();
        std::fs::write(&path, lines.concat()).map_err(|error| unwritable(&path, &error))?;
        Ok(path)
    }
}

pub fn assignment(key: &str, segments: &[&str], expires_at: Timestamp) -> Written {
    value(key, datum(key, segments, expires_at))
}

/// A value as Assent writes it.
pub fn datum(key: &str, segments: &[&str], expires_at: Timestamp) -> Vec<u8> {
    let assignment = SegmentAssignment {
        pseudonym: key.to_owned(),
        purpose: "reader-check".to_owned(),
        segments: segments.iter().map(|&id| id.to_owned()).collect(),
        basis: Basis::OptIn,
        decided_at: SystemClock.now(),
        expires_at,
        rulebook: "reader-check".to_owned(),
    };
    frame(SchemaName::SegmentAssignment, &assignment.body())
}

pub fn value(key: &str, value: Vec<u8>) -> Written {
    Written { key: key.to_owned(), what: What::Value(value) }
}

/// With the headers that Assent gives it.
pub fn tombstone(key: &str, reason: &str) -> Written {
    let decided_at = SystemClock.now().to_string();
    let headers = vec![("reason", reason.to_owned()), ("decided_at", decided_at)];
    Written { key: key.to_owned(), what: What::Tombstone(headers) }
}

pub fn exists(topic: &str) -> Failure {
    Failure::new(
        Exit::Usage,
        format!(
            "--topic {topic}: exists already; name a new one: the check creates and deletes it"
        ),
    )
}

fn is_interrupted() -> Failure {
    Failure::failed("interrupted")
}

fn unwritable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::failed(format!("{}: can't be written: {error}", path.display()))
}
