//! A partition's state, read back from assent-state: records in the order of their offsets, a later
//! one wins. A recovered state equals one that never crashed (INV-10).

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::sync::Arc;

use super::ledger::{FORMAT, Ledger};
use super::pack::unpack_subject;
use super::partition::{Partition, Setup};
use super::revise;
use super::stats::Stats;
use super::store::BucketChunks;
use super::subject::StateToken;
use super::subjects::{BUCKETS, Subjects, bucket_of};
use super::timers::Timers;
use crate::domain::audit::{Sha256Hash, chain};
use crate::domain::binary::{Malformed, Reader};
use crate::domain::gate::PurposeTerms;
use crate::domain::merge::{NameId, PurposeNames};

/// Gathers a partition's state records.
pub struct Restore {
    partition: i32,
    meta: Option<(Ledger, PurposeNames)>,
    /// Still packed, by bucket: most are overwritten before they are needed.
    buckets: Vec<BTreeMap<StateToken, Packed>>,
    chunks: BucketChunks,
}

struct Packed {
    layout: Sha256Hash,
    bytes: Box<[u8]>,
}

/// Why a partition can't go on under this configuration. Each is a message for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The state holds what this version can't read, or less than it counted.
    Damaged {
        partition: i32,
        detail: String,
    },
    /// The rulebook's version is known with other content.
    RulebookContent {
        version: String,
    },
    /// The state has left this version.
    RulebookLeft {
        version: String,
        current: String,
    },
    /// Another rulebook than the state's.
    RulebookChanged {
        version: String,
        current: String,
    },
    /// Another secret under a known version.
    KeyContent {
        version: u8,
    },
    /// A version that the state knows is not in the file.
    KeyMissing {
        version: u8,
    },
    /// Another active key than the state's.
    KeyChanged {
        active: u8,
        current: u8,
    },
    /// Tombstones would miss what they remove.
    Partitioner {
        configured: String,
        current: String,
    },
    SegmentPartitions {
        purpose: String,
        found: i32,
        current: i32,
    },
}

impl Restore {
    pub fn new(partition: i32) -> Self {
        Self {
            partition,
            meta: None,
            buckets: (0..BUCKETS).map(|_| BTreeMap::new()).collect(),
            chunks: BucketChunks::default(),
        }
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
            (Some("d" | "r" | "meta"), _) => {}
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
        match value {
            Some(value) => {
                *chunks = (chunk + 1) as u16;
                self.merge(value)
            }
            None => {
                *chunks = (*chunks).min(chunk as u16);
                Ok(())
            }
        }
    }

    fn merge(&mut self, value: &[u8]) -> Result<(), Malformed> {
        let mut reader = Reader::new(value);
        if reader.byte()? != FORMAT {
            return Err(Malformed("format"));
        }
        let layout: Sha256Hash = reader.fixed()?;
        while !reader.is_empty() {
            let token = StateToken::from_be_bytes(reader.fixed()?);
            let bytes = reader.bytes()?;
            let bucket = &mut self.buckets[bucket_of(token)];
            if bytes.is_empty() {
                bucket.remove(&token);
            } else {
                bucket.insert(token, Packed { layout, bytes: bytes.into() });
            }
        }
        Ok(())
    }

    /// Checks the state against the configuration, and makes the partition.
    pub fn finish(self, setup: Arc<Setup>) -> Result<Partition, Refusal> {
        let damaged = |detail: String| Refusal::Damaged { partition: self.partition, detail };
        let fresh = self.meta.is_none();
        if fresh && self.buckets.iter().any(|bucket| !bucket.is_empty()) {
            return Err(damaged("subjects without the partition's own record".to_owned()));
        }
        let (mut ledger, mut names) =
            self.meta.unwrap_or_else(|| (Ledger::fresh(), PurposeNames::default()));
        if !fresh {
            check(&ledger, &setup)?;
        }
        note(&mut ledger, &setup);
        let (declared, terms) = declare(&setup, &mut names).map_err(|e| damaged(e.to_string()))?;
        let subjects = unpack(&self.buckets, &setup, &terms).map_err(|e| damaged(e.to_string()))?;
        if subjects.len() as i64 != ledger.subjects {
            let (found, counted) = (subjects.len(), ledger.subjects);
            return Err(damaged(format!("{found} subjects where {counted} were counted")));
        }
        let mut partition = Partition {
            chain: chain::name(&setup.group_id, self.partition),
            setup,
            terms,
            declared,
            names,
            fresh,
            ledger,
            subjects,
            chunks: self.chunks,
            timers: Timers::default(),
            deferred: HashSet::new(),
            stats: Stats::default(),
            work: None,
            batch: 0,
            undo: None,
        };
        partition.look_ahead();
        Ok(partition)
    }
}

impl Partition {
    /// Counts the subjects and schedules their timers. Who has an assignment due that is not
    /// written (a closed gate, a shorter lease) is looked at with the first batch.
    fn look_ahead(&mut self) {
        let now = self.ledger.now;
        let tokens: Vec<StateToken> = self.subjects.iter().map(|(token, _)| token).collect();
        for token in tokens {
            let Some(subject) = self.subjects.get_mut(token) else { continue };
            self.stats.add(subject);
            subject.due = if revise::is_behind(subject, &self.setup, &self.terms, now) {
                now
            } else {
                revise::next_due(subject, &self.setup, &self.terms, now)
            };
            self.timers.schedule(token, subject);
        }
    }
}

fn index(part: Option<&str>) -> Result<usize, Malformed> {
    part.and_then(|part| part.parse().ok()).ok_or(Malformed("state key"))
}

/// The rulebook's purposes get their names' numbers: the same as ever for those known before.
fn declare(
    setup: &Setup,
    names: &mut PurposeNames,
) -> Result<(Vec<NameId>, Vec<PurposeTerms>), Malformed> {
    let mut declared = Vec::new();
    let mut terms = Vec::new();
    for purpose in &setup.rulebook.purposes {
        let name = names.intern(&purpose.id).ok_or(Malformed("names"))?;
        declared.push(name);
        terms.push(PurposeTerms {
            name,
            sale_or_share: purpose.sale_or_share,
            requires_opt_in: purpose.requires_opt_in,
            suspended: purpose.suspended,
        });
    }
    Ok((declared, terms))
}

fn unpack(
    buckets: &[BTreeMap<StateToken, Packed>],
    setup: &Setup,
    terms: &[PurposeTerms],
) -> Result<Subjects, Malformed> {
    let slots = |name: NameId| {
        let index = terms.iter().position(|terms| terms.name == name);
        index.map_or(0, |index| setup.rulebook.purposes[index].slots.len())
    };
    let mut subjects = Subjects::default();
    for (&token, packed) in buckets.iter().flatten() {
        if packed.layout != setup.rulebook.sha256 {
            return Err(Malformed("layout: another rulebook's counters"));
        }
        let mut reader = Reader::new(&packed.bytes);
        let subject = unpack_subject(&mut reader, slots)?;
        if !reader.is_empty() {
            return Err(Malformed("subject"));
        }
        subjects.insert(token, subject);
    }
    Ok(subjects)
}

/// What the state was written under must be what is configured.
fn check(ledger: &Ledger, setup: &Setup) -> Result<(), Refusal> {
    check_rulebook(ledger, setup)?;
    check_keys(ledger, setup)?;
    let configured = setup.partitioner.to_string();
    if ledger.partitioner != configured {
        return Err(Refusal::Partitioner { configured, current: ledger.partitioner.clone() });
    }
    for (purpose, &current) in &ledger.segment_partitions {
        if let Some(&found) = setup.segment_partitions.get(purpose)
            && found != current
        {
            return Err(Refusal::SegmentPartitions { purpose: purpose.clone(), found, current });
        }
    }
    Ok(())
}

fn check_rulebook(ledger: &Ledger, setup: &Setup) -> Result<(), Refusal> {
    let rulebook = &setup.rulebook;
    let Some((current, hash)) = ledger.rulebooks.last() else { return Ok(()) };
    if *hash == rulebook.sha256 {
        return Ok(());
    }
    let (version, current) = (rulebook.version.clone(), current.clone());
    match ledger.rulebooks.iter().find(|(known, _)| *known == version) {
        Some((_, known)) if *known != rulebook.sha256 => Err(Refusal::RulebookContent { version }),
        Some(_) => Err(Refusal::RulebookLeft { version, current }),
        None => Err(Refusal::RulebookChanged { version, current }),
    }
}

fn check_keys(ledger: &Ledger, setup: &Setup) -> Result<(), Refusal> {
    let configured = setup.keys.fingerprints();
    for (&version, known) in &ledger.key_fingerprints {
        match configured.get(&version) {
            None => return Err(Refusal::KeyMissing { version }),
            Some(print) if print != known => return Err(Refusal::KeyContent { version }),
            Some(_) => {}
        }
    }
    let (active, current) = (setup.keys.active(), ledger.active_key);
    if active == current { Ok(()) } else { Err(Refusal::KeyChanged { active, current }) }
}

/// What the next transaction records of the configuration.
fn note(ledger: &mut Ledger, setup: &Setup) {
    ledger.partitioner = setup.partitioner.to_string();
    ledger.key_fingerprints.extend(setup.keys.fingerprints());
    ledger.active_key = setup.keys.active();
    ledger
        .segment_partitions
        .extend(setup.segment_partitions.iter().map(|(purpose, count)| (purpose.clone(), *count)));
}

impl Refusal {
    /// 78 where the configuration is wrong, 1 where going on would lose something (section 10).
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Damaged { .. } | Self::Partitioner { .. } | Self::SegmentPartitions { .. } => 1,
            _ => 78,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Damaged { partition, detail } => write!(
                f,
                "the state of partition {partition} can't be read ({detail}); nothing was decided; \
                 restore the state topic, or start a new group with new output topics"
            ),
            Self::RulebookContent { version } => write!(
                f,
                "rulebook \"{version}\" has decided before with other content; give the changed \
                 file a new version"
            ),
            Self::RulebookLeft { version, current } => write!(
                f,
                "rulebook \"{version}\" was replaced by \"{current}\"; to go back, give the old \
                 content a new version"
            ),
            Self::RulebookChanged { version, current } => write!(
                f,
                "rulebook \"{version}\" is not the one that the state was decided under \
                 (\"{current}\"); this version of assent can't change rulebooks yet: keep \
                 \"{current}\""
            ),
            Self::KeyContent { version } => write!(
                f,
                "keyset: version {version} has another secret than the one the state was made \
                 with; it would remove nothing that is out there; restore the keyset file"
            ),
            Self::KeyMissing { version } => write!(
                f,
                "keyset: version {version}, which the state knows, is missing; restore the file"
            ),
            Self::KeyChanged { active, current } => write!(
                f,
                "keyset: version {active} is active, the state was made with {current}; this \
                 version of assent can't rotate keys yet: make {current} active again"
            ),
            Self::Partitioner { configured, current } => write!(
                f,
                "kafka.partitioner is {configured}, but the outputs were written with {current}: \
                 tombstones would miss what they remove; set it back to {current}"
            ),
            Self::SegmentPartitions { purpose, found, current } => write!(
                f,
                "the segment topic of purpose {purpose} has {found} partitions, it had {current}: \
                 tombstones would miss what they remove; recreate it with {current} partitions \
                 under a new group, or migrate into new topics"
            ),
        }
    }
}

impl std::error::Error for Refusal {}
