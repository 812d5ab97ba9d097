//! What `consent-changelog` holds of each subject: the base of every merge, and what `GET /v1/consent` answers.
//!
//! Holds raw identifiers, in memory alone. A subject costs the bytes of its last record and some 60 more.

use std::collections::HashMap;
use std::ffi::CStr;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::oneshot;

use super::follow::{self, Following, Plan, Progress, Take};
use crate::config::Config;
use crate::failure::Result;
use crate::kafka::events::Received;
use crate::registry::Reading;
use assent_contract::domain::consent::ConsentRecord;
use assent_contract::domain::time::Timestamp;
use assent_contract::wire::{ConsentReader, ConsentReading, Inbound, KnownSchemas, Unread};
use assent_intake::CurrentConsent;

/// The header by which the intake finds its own records again: the id of their request.
pub const REQUEST: &str = "assent-request";
const REQUEST_C: &CStr = c"assent-request";

/// Until an answer is read from what was read: the lag of a quiet follower.
const ASK_EVERY: Duration = Duration::from_millis(50);

/// What stands under a subject's key.
struct Held {
    /// Of the last record.
    offset: i64,
    /// The last record of the highest version since the last erasure; `None`: there is none.
    value: Option<Box<[u8]>>,
    /// Its version; 0: it has none that can be read.
    version: i64,
    /// The highest version that was ever read of the subject.
    highest: i64,
    /// When the last record was appended, if it was an erasure.
    erased_at: Option<Timestamp>,
}

impl Held {
    /// A lower version is ignored by whoever decides, so it is no base of a merge either.
    fn after(mut self, before: Option<Self>) -> Self {
        let Some(before) = before else { return self };
        self.highest = self.highest.max(before.highest);
        let is_readable = self.version > 0;
        if is_readable && self.version < before.version {
            (self.value, self.version) = (before.value, before.version);
        }
        self
    }
}

type Subjects = HashMap<Box<[u8]>, Held>;

/// Where a record of the intake's was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    pub partition: i32,
    pub offset: i64,
}

/// Whoever waits for the record of a request.
#[derive(Default)]
struct Waiting(Mutex<HashMap<String, Vec<oneshot::Sender<Found>>>>);

pub struct Changelog {
    config: Arc<Config>,
    subjects: Arc<RwLock<Subjects>>,
    waiting: Arc<Waiting>,
    reader: ConsentReader,
    known: Arc<RwLock<Arc<KnownSchemas>>>,
    following: Following,
}

impl Changelog {
    /// Reads in the background.
    pub fn start(config: &Arc<Config>) -> Result<Self> {
        let (subjects, waiting) = (Arc::<RwLock<Subjects>>::default(), Arc::<Waiting>::default());
        let known = Arc::new(RwLock::new(Arc::new(KnownSchemas::none())));
        let taking = Taking {
            subjects: Arc::clone(&subjects),
            waiting: Arc::clone(&waiting),
            schemas: Reading::open(config)?.for_ever(),
            known: Arc::clone(&known),
            reader: None,
            config: Arc::clone(config),
            partitions: 1,
        };
        let topics = vec![config.topics.consent.clone()];
        let plan = Plan { name: "consent-copy", topics, ask_every: ASK_EVERY };
        let following = follow::start(config, plan, taking)?;
        let count = following.progress.partitions(0);
        let reader = ConsentReader::new(config.kafka.partitioner, count);
        Ok(Self { config: Arc::clone(config), subjects, waiting, reader, known, following })
    }

    pub fn progress(&self) -> &Progress {
        &self.following.progress
    }

    /// The partition of a subject.
    pub fn partition_of(&self, subject: &str) -> i32 {
        let count = self.following.progress.partitions(0);
        self.config.kafka.partitioner.partition(subject.as_bytes(), count)
    }

    /// Told where the record of a request is, once it is read.
    pub fn await_request(&self, request_id: &str) -> oneshot::Receiver<Found> {
        let (sender, receiver) = oneshot::channel();
        let mut waiting = self.waiting.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Those who gave up.
        waiting.retain(|_, all| {
            all.retain(|waits| !waits.is_closed());
            !all.is_empty()
        });
        waiting.entry(request_id.to_owned()).or_default().push(sender);
        receiver
    }

    /// What a merge begins with.
    pub fn current(&self, subject: &str) -> CurrentConsent {
        let subjects = self.subjects.read().unwrap_or_else(PoisonError::into_inner);
        let Some(held) = subjects.get(subject.as_bytes()) else { return CurrentConsent::default() };
        let record = held.value.as_deref().and_then(|value| self.read(subject, value));
        CurrentConsent { record, highest: held.highest }
    }

    /// Of the subject's last record, as far as was read.
    pub fn last_offset(&self, subject: &str) -> Option<i64> {
        let subjects = self.subjects.read().unwrap_or_else(PoisonError::into_inner);
        subjects.get(subject.as_bytes()).map(|held| held.offset)
    }

    /// When the subject was erased; `None`: not as far as was read, or something was written since.
    pub fn erased_at(&self, subject: &str) -> Option<Timestamp> {
        let subjects = self.subjects.read().unwrap_or_else(PoisonError::into_inner);
        subjects.get(subject.as_bytes()).and_then(|held| held.erased_at)
    }

    fn read(&self, subject: &str, value: &[u8]) -> Option<ConsentRecord> {
        let known = Arc::clone(&self.known.read().unwrap_or_else(PoisonError::into_inner));
        match self.reader.read_again(subject.as_bytes(), value, &known) {
            ConsentReading::Record(record) => Some(*record),
            _ => None,
        }
    }
}

struct Taking {
    subjects: Arc<RwLock<Subjects>>,
    waiting: Arc<Waiting>,
    schemas: Reading,
    /// What the registry's ids mean, for those who read a value again.
    known: Arc<RwLock<Arc<KnownSchemas>>>,
    reader: Option<ConsentReader>,
    config: Arc<Config>,
    /// Of the topic.
    partitions: i32,
}

impl Taking {
    /// `None`: what is no record or erasure of its key's subject.
    fn held(&mut self, record: &Received<'_>) -> Option<Held> {
        let (key, value) = (record.key()?, record.payload());
        let partitioner = self.config.kafka.partitioner;
        if partitioner.partition(key, self.partitions) != record.partition() {
            return None; // it will be forwarded
        }
        let known = self.schemas.knowing(value).ok()?;
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&known);
        let reader = self.reader.get_or_insert_with(|| ConsentReader::new(partitioner, 1));
        let inbound = Inbound { partition: 0, key: Some(key), payload: value };
        let reading =
            self.schemas.read(|known| match reader.read_with(&inbound, true, None, known) {
                ConsentReading::Waits(id) => Err(Unread::Waits(id)),
                reading => Ok(reading),
            });
        let version = match reading.ok()?.ok()? {
            ConsentReading::Record(record) => record.version,
            ConsentReading::Erasure | ConsentReading::Unreadable(_) => 0,
            _ => return None,
        };
        let append_time = || Timestamp(record.timestamp().to_millis().unwrap_or_default());
        let erased_at = value.is_none().then(append_time);
        let (offset, value) = (record.offset(), value.map(Into::into));
        Some(Held { offset, value, version, highest: version, erased_at })
    }
}

impl Take for Taking {
    fn record(&mut self, _: usize, record: &Received<'_>) {
        if let Some(held) = self.held(record) {
            let key = record.key().unwrap_or_default();
            let mut subjects = self.subjects.write().unwrap_or_else(PoisonError::into_inner);
            let held = held.after(subjects.remove(key));
            subjects.insert(key.into(), held);
        }
        let Some(Some(request)) = record.header(REQUEST_C) else { return };
        let Ok(request) = std::str::from_utf8(request) else { return };
        let found = Found { partition: record.partition(), offset: record.offset() };
        let waiting = self.waiting.0.lock().unwrap_or_else(PoisonError::into_inner).remove(request);
        for waits in waiting.into_iter().flatten() {
            let _ = waits.send(found); // who gave up needs no answer
        }
    }

    fn discard(&mut self, _: usize, partitions: i32) {
        self.partitions = partitions;
        self.subjects.write().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
