//! A partition's state, read back from assent-state: records in the order of their offsets, a later
//! one wins. A recovered state equals one that never crashed (INV-10).

use std::collections::BTreeMap;
use std::sync::Arc;

use super::audience::{AudienceRecord, Audiences, Hearing};
use super::edition::Edition;
use super::judged_purposes::JudgedPurposes;
use super::layout::{self, Layout};
use super::ledger::{Cycle, FORMATS, Ledger, unpack_former_names};
use super::loss::AuditHead;
use super::pack::unpack_signal;
use super::partition::{Partition, Spare};
use super::policy::Policy;
use super::refusal::{Refusal, check, note};
use super::setup::Setup;
use super::signals::Minute;
use super::state::{Backlog, Schedule, State};
use super::stats::Stats;
use super::store::BucketChunks;
use super::subjects::Subjects;
use super::token::{BUCKETS, StateToken, bucket_of};
use assent_contract::domain::audit::{Sha256Hash, chain};
use assent_contract::domain::binary::{Malformed, Reader};
use assent_contract::domain::ids::canary_of;
use assent_contract::domain::merge::{NameId, PurposeNames};
use assent_contract::domain::pseudonym::SessionKeys;
use assent_contract::rulebook::Rulebook;

mod take_in;

/// Gathers a partition's state records.
pub struct Restore {
    partition: i32,
    meta: Option<(Ledger, PurposeNames)>,
    /// Of format 1: numbers of undeclared purposes.
    former_names: Vec<(NameId, u128)>,
    audience: Option<AudienceRecord>,
    /// Still packed, by bucket: most are overwritten before they are needed.
    buckets: Vec<BTreeMap<StateToken, Packed>>,
    /// What they were packed under: one form, or a few after a change.
    forms: Vec<Form>,
    chunks: BucketChunks,
    /// The rulebooks kept as evidence, by the hash of the file.
    rulebooks: BTreeMap<Sha256Hash, Box<[u8]>>,
}

/// What a lost state was decided under, as far as it could be read: configuration, and evidence.
pub struct Salvage {
    ledger: Option<Ledger>,
    rulebooks: BTreeMap<Sha256Hash, Box<[u8]>>,
}

/// The format of a record, and the rulebook that its subjects' counters were laid out by.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Form {
    format: u8,
    rulebook: Sha256Hash,
}

enum Packed {
    /// A signal, and nothing else.
    Signal(Minute),
    /// `form`: index into [`Restore::forms`].
    Bytes { form: usize, bytes: Box<[u8]> },
}

impl Restore {
    pub fn new(partition: i32) -> Self {
        Self {
            partition,
            meta: None,
            former_names: Vec::new(),
            audience: None,
            buckets: (0..BUCKETS).map(|_| BTreeMap::new()).collect(),
            forms: Vec::new(),
            chunks: BucketChunks::default(),
            rulebooks: BTreeMap::new(),
        }
    }

    /// What of it outlasts its loss.
    pub fn salvage(&self) -> Salvage {
        let ledger = self.meta.as_ref().map(|(ledger, _)| ledger.clone());
        Salvage { ledger, rulebooks: self.rulebooks.clone() }
    }

    /// Stands in for a state that was lost: at the audit's head, with no subject.
    pub fn recovered(partition: i32, salvage: Salvage, head: &AuditHead, setup: &Setup) -> Self {
        let mut ledger = salvage.ledger.unwrap_or_else(|| {
            let mut ledger = Ledger::fresh();
            note(&mut ledger, setup);
            ledger
        });
        ledger.now = ledger.now.max(head.decided_at);
        ledger.note_synced(head.decided_at);
        ledger.next_click = head.click_to;
        ledger.next_consent = head.consent_to;
        ledger.next_sequence = head.next_sequence;
        ledger.head = head.hash;
        ledger.subjects = 0;
        ledger.signals = Some(0);
        ledger.cycle = Cycle::default();
        ledger.recovering = true;
        let mut recovered = Self::new(partition);
        recovered.meta = Some((ledger, PurposeNames::default()));
        recovered.rulebooks = salvage.rulebooks;
        recovered
    }

    /// Takes one record, in the order of the offsets; `None` is a tombstone.
    pub fn apply(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), Malformed> {
        let key = std::str::from_utf8(key).map_err(|_| Malformed("state key"))?;
        let mut parts = key.split('/');
        match (parts.next(), value) {
            (Some("meta"), Some(value)) => self.meta = Some(Ledger::unpack(value)?),
            (Some("d"), Some(value)) => self.merge(value)?,
            (Some("b"), value) => {
                let (bucket, chunk) = (index(parts.next())?, index(parts.next())?);
                if bucket >= BUCKETS {
                    return Err(Malformed("bucket"));
                }
                self.take_bucket(bucket, chunk, value)?;
            }
            (Some("a"), value) => self.audience = value.map(AudienceRecord::unpack).transpose()?,
            (Some("n"), Some(value)) => self.former_names = unpack_former_names(value)?,
            (Some("r"), Some(value)) => {
                self.rulebooks.insert(chain::body_hash(value), value.into());
            }
            (Some("d" | "r" | "l" | "n" | "meta"), _) => {}
            _ => return Err(Malformed("state key")),
        }
        Ok(())
    }

    fn take_bucket(
        &mut self,
        bucket: usize,
        chunk: usize,
        value: Option<&[u8]>,
    ) -> Result<(), Malformed> {
        if chunk == 0 {
            self.buckets[bucket].clear();
        }
        let chunks = &mut self.chunks.0[bucket];
        let Some(value) = value else {
            *chunks = (*chunks).min(chunk as u16);
            return Ok(());
        };
        *chunks = (chunk + 1) as u16;
        self.merge(value)
    }

    fn merge(&mut self, value: &[u8]) -> Result<(), Malformed> {
        let mut reader = Reader::new(value);
        let format = reader.byte()?;
        if !FORMATS.contains(&format) {
            return Err(Malformed("format"));
        }
        let form = self.number_of(Form { format, rulebook: reader.fixed()? });
        while !reader.is_empty() {
            let token = StateToken::from_be_bytes(reader.fixed()?);
            let bytes = reader.bytes()?;
            let bucket = &mut self.buckets[bucket_of(token)];
            if bytes.is_empty() {
                bucket.remove(&token);
            } else if let Some(minute) = unpack_signal(bytes) {
                bucket.insert(token, Packed::Signal(minute));
            } else {
                bucket.insert(token, Packed::Bytes { form, bytes: bytes.into() });
            }
        }
        Ok(())
    }

    fn number_of(&mut self, form: Form) -> usize {
        self.forms.iter().position(|known| *known == form).unwrap_or_else(|| {
            self.forms.push(form);
            self.forms.len() - 1
        })
    }

    /// Checks the state against the configuration, and makes the partition.
    pub fn finish(self, setup: Arc<Setup>) -> Result<Partition, Refusal> {
        let damaged = |detail: String| Refusal::Damaged { partition: self.partition, detail };
        let fresh = self.meta.is_none();
        if fresh && self.buckets.iter().any(|bucket| !bucket.is_empty()) {
            return Err(damaged("subjects without the record of the partition itself".to_owned()));
        }
        let (mut ledger, mut names) =
            self.meta.unwrap_or_else(|| (Ledger::fresh(), PurposeNames::default()));
        if !fresh {
            check(&ledger, &setup)?;
        }
        note(&mut ledger, &setup);
        self.former_names
            .iter()
            .for_each(|(id, undeclared_token)| names.place_former(*id, *undeclared_token));
        let declared = declare(&setup, &mut names).map_err(|e| damaged(e.to_string()))?;
        let past = Past::read(&self.rulebooks, &ledger, &setup, &names)
            .map_err(|e| damaged(e.to_string()))?;
        let forms: Vec<(u8, Option<&Layout>)> =
            self.forms.iter().map(|it| (it.format, past.layouts.get(&it.rulebook))).collect();
        let stats = Stats::default();
        let judged = JudgedPurposes::new(&setup.rulebook, &declared, &names, &stats);
        let audiences =
            Audiences::new(self.partition, setup.input_partitions, &setup.rulebook, &declared);
        let mut partition = Partition {
            chain: chain::name(&setup.group_id, self.partition),
            policy: Policy {
                canary: setup.keys.state_token(canary_of(self.partition).as_bytes()),
                setup,
                declared,
                judged,
                edition: past.edition,
                past: past.editions,
            },
            state: State {
                fresh,
                written_at: ledger.now,
                ledger,
                names,
                subjects: Subjects::default(),
                chunks: self.chunks,
                audiences,
            },
            schedule: Schedule::default(),
            backlog: Backlog::default(),
            stats,
            spare: Spare::default(),
            sessions: SessionKeys::default(),
            hearing: Hearing::default(),
        };
        let Partition { policy, state, .. } = &mut partition;
        state.audiences.resume(self.audience.as_ref(), policy, state.ledger.now);
        let signals_read = partition.take_in(self.buckets, &forms);
        let signals_read = signals_read.map_err(|e| damaged(e.to_string()))?;
        partition.check_counts(signals_read).map_err(&damaged)?;
        partition.check_audience(self.audience.as_ref()).map_err(damaged)?;
        partition.look_at_audiences();
        Ok(partition)
    }
}

/// The rulebooks that the state was written under.
struct Past {
    edition: Edition,
    editions: Vec<Option<Arc<Rulebook>>>,
    layouts: BTreeMap<Sha256Hash, Layout>,
}

impl Past {
    fn read(
        kept: &BTreeMap<Sha256Hash, Box<[u8]>>,
        ledger: &Ledger,
        setup: &Setup,
        names: &PurposeNames,
    ) -> Result<Self, Malformed> {
        let running = &setup.rulebook;
        let mut layouts = BTreeMap::new();
        let mut editions = Vec::new();
        for (_, hash) in &ledger.rulebooks {
            let rulebook = match kept.get(hash) {
                _ if *hash == running.sha256 => Some(Arc::clone(running)),
                Some(yaml) => Some(layout::past_rulebook(yaml)?),
                None => None,
            };
            if let Some(rulebook) = &rulebook {
                layouts.insert(*hash, Layout::new(rulebook, running, names));
            }
            editions.push(rulebook);
        }
        let edition = match ledger.rulebooks.last() {
            Some((_, hash)) if *hash == running.sha256 => ledger.rulebooks.len() - 1,
            _ => ledger.rulebooks.len(),
        };
        Ok(Self { edition: edition as Edition, editions, layouts })
    }
}

fn index(part: Option<&str>) -> Result<usize, Malformed> {
    part.and_then(|part| part.parse().ok()).ok_or(Malformed("state key"))
}

/// The rulebook's purposes get their names' numbers: the same as ever for those known before.
fn declare(setup: &Setup, names: &mut PurposeNames) -> Result<Vec<NameId>, Malformed> {
    let purposes = setup.rulebook.purposes.iter();
    let undeclared_token = |purpose: &str| setup.undeclared_token(purpose);
    purposes
        .map(|purpose| names.declare(&purpose.id, &undeclared_token).ok_or(Malformed("names")))
        .collect()
}
