//! The second pass: one partition of a segment topic, against what the first pass left of its
//! pseudonyms. Memory holds the records of that one partition.
//!
//! 1. [`SegmentPartition::record`]: every record, by pseudonym.
//! 2. [`SegmentPartition::row`]: the effects of the audit name them, in order; the gate's say.
//! 3. [`SegmentPartition::finish`]: records that nothing names, effects without their record, and
//!    live values that may not be.

use std::collections::BTreeMap;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::Rulebooks;
use super::audiences::{Statements, too_small};
use super::finding::{Findings, Unchecked};
use super::inputs::Record;
use super::outputs::token_of;
use super::rows::{FinalVerdict, Row, Written, reason_number};
use assent_contract::domain::audit::chain;
use assent_contract::domain::invariants::{self, Invariant};
use assent_contract::domain::pseudonym::{KeyHistory, Pseudonym};
use assent_contract::domain::segment::SegmentAssignment;
use assent_contract::domain::time::{Span, Timestamp};
use assent_contract::wire::decode_assignment;
use assent_contract::wire::framing::Framed;

/// From when on an input partition's audit was read, and what was under way at its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Horizon {
    /// Records decided then or before may have been named by an audit that is gone or was not read:
    /// two batches may have one clock.
    pub audited_from: Timestamp,
    /// A sweep to this rulebook may not be through: it began less than an hour before the end.
    pub sweeping_to: Option<String>,
    /// How segments with a minimum audience stood.
    pub statements: Statements,
}

/// A partition of a segment topic, and what its records are checked against.
pub struct SegmentScope<'a> {
    pub topic: &'a str,
    pub partition: i32,
    pub purpose: &'a str,
    pub audit: &'a str,
    pub rulebooks: &'a Rulebooks,
    pub keys: &'a KeyHistory,
    /// By input partition.
    pub horizons: &'a BTreeMap<i32, Horizon>,
    /// Were all input partitions read? Else a pseudonym that none of them knows may be another's.
    pub all: bool,
    /// The topic's end before the audit's was taken: what lies there must be named.
    pub named_to: i64,
    /// The wall clock then.
    pub now: Timestamp,
    /// How long the topic keeps a tombstone.
    pub tombstones_kept: Span,
}

/// A record that was written under a pseudonym.
struct StoredRecord {
    offset: i64,
    decided_at: Timestamp,
    written: Written,
    /// An effect of the audit names it.
    named: bool,
    /// Of an assignment.
    value: Option<Value>,
}

impl StoredRecord {
    fn mark(&self) -> (Written, Option<Timestamp>) {
        mark(self.written, self.decided_at)
    }
}

/// What an effect tells of its record: of a tombstone, when it was decided.
fn mark(written: Written, decided_at: Timestamp) -> (Written, Option<Timestamp>) {
    (written, matches!(written, Written::Removed(_)).then_some(decided_at))
}

/// What a live value is judged by.
#[derive(Clone, Copy)]
struct Value {
    expires_at: Timestamp,
    /// Index into the versions that were met.
    rulebook: u16,
    /// Index into the sets of segments that were met, where some rulebook asks for an audience.
    segments: u32,
}

/// No lease is longer (`pipeline.lease`): the one that applied is not recorded anywhere.
const LEASE_MAX: Span = Span(30 * Span::DAY.0);

/// INV-13: beyond any lease, or beyond the grant that it rests on.
fn lasts_too_long(
    decided_at: Timestamp,
    value: Value,
    final_verdict: Option<FinalVerdict>,
) -> Option<&'static str> {
    if value.expires_at - decided_at > LEASE_MAX {
        return Some("a live value whose expires_at is more than 30 days after its decided_at");
    }
    invariants::within_grant(value.expires_at, final_verdict?.grant_ends_at).map(|it| it.detail)
}

/// All that is known of one pseudonym.
#[derive(Default)]
struct Key {
    records: Vec<StoredRecord>,
    /// The record after the last one that an effect named.
    next: usize,
    has_effect: bool,
    /// The last effect, where its record is not there.
    missing: Option<Missing>,
    final_verdict: Option<(i32, FinalVerdict)>,
}

/// Of the audit.
#[derive(Clone, Copy)]
struct Missing {
    partition: i32,
    offset: i64,
    decided_at: Timestamp,
    is_tombstone: bool,
}

pub struct SegmentPartition<'a> {
    scope: SegmentScope<'a>,
    keys: HashMap<Pseudonym, Key, FixedState>,
    rulebook_versions: Vec<String>,
    segment_sets: Vec<Vec<String>>,
    has_least: bool,
}

impl<'a> SegmentPartition<'a> {
    pub fn new(scope: SegmentScope<'a>) -> Self {
        let has_least = scope.rulebooks.have_least(scope.purpose);
        let (rulebook_versions, segment_sets) = (Vec::new(), Vec::new());
        Self { scope, keys: HashMap::default(), rulebook_versions, segment_sets, has_least }
    }

    /// A record, in the order of the offsets.
    pub fn record(&mut self, record: &Record, findings: &mut Findings) {
        let place = (self.scope.topic, self.scope.partition, record.offset);
        let Some(pseudonym) = token_of(record.key.as_deref()) else {
            let detail = "the key is not a pseudonym: it may be a raw identifier";
            return findings.violation(Invariant::Pseudonymous, place, detail);
        };
        let stored = match &record.value {
            None => Some(self.tombstone(record, findings)),
            Some(value) => self.assignment(record, value, pseudonym, findings),
        };
        if let Some(stored) = stored {
            self.keys.entry(pseudonym).or_default().records.push(stored);
        }
    }

    fn tombstone(&self, record: &Record, findings: &mut Findings) -> StoredRecord {
        let place = (self.scope.topic, self.scope.partition, record.offset);
        let number = |name| record.header_text(name).and_then(|text| text.parse::<i64>().ok());
        let known = ["reason", "decided_at"];
        let foreign = record.headers.iter().any(|(name, _)| !known.contains(&name.as_str()));
        if foreign {
            let detail = "a tombstone with an unknown header: readers of two purposes could join \
                their keys by it";
            findings.violation(Invariant::Unlinkable, place, detail);
        }
        let reason = record.header_text("reason").and_then(reason_number);
        let (Some(reason), Some(decided_at), false) = (reason, number("decided_at"), foreign)
        else {
            let detail = "a tombstone with missing or unknown headers: Assent did not write it, \
                and they may contain a raw identifier";
            findings.violation(Invariant::Pseudonymous, place, detail);
            // It removes all the same.
            let (written, decided_at) = (Written::Removed(u8::MAX), Timestamp::MAX);
            return StoredRecord {
                offset: record.offset,
                decided_at,
                written,
                named: false,
                value: None,
            };
        };
        StoredRecord {
            offset: record.offset,
            decided_at: Timestamp(decided_at),
            written: Written::Removed(reason),
            named: false,
            value: None,
        }
    }

    fn assignment(
        &mut self,
        record: &Record,
        value: &[u8],
        pseudonym: Pseudonym,
        findings: &mut Findings,
    ) -> Option<StoredRecord> {
        let place = (self.scope.topic, self.scope.partition, record.offset);
        let Ok(assignment) = decode_assignment(value, &record.known) else {
            let detail = "not a SegmentAssignment, so Assent did not write it";
            findings.violation(Invariant::Atomic, place, detail);
            return None;
        };
        let body = Framed::split(value).body().unwrap_or_default();
        if assignment.body() != body {
            let detail = "an assignment with unknown fields: readers of two purposes could join \
                their keys by them";
            findings.violation(Invariant::Unlinkable, place, detail);
        }
        self.check_form(&assignment, pseudonym, place, findings);
        let hash = chain::body_hash(body);
        let digest = *hash.first_chunk().expect("32 bytes begin with 16");
        Some(StoredRecord {
            offset: record.offset,
            decided_at: assignment.decided_at,
            written: Written::Assigned(digest),
            named: false,
            value: Some(Value {
                expires_at: assignment.expires_at,
                rulebook: self.rulebook_number(assignment.rulebook),
                segments: self.set_number(assignment.segments),
            }),
        })
    }

    /// INV-6: every text of it is the key, the purpose, or one of the rulebook's own names.
    fn check_form(
        &self,
        assignment: &SegmentAssignment,
        pseudonym: Pseudonym,
        place: (&str, i32, i64),
        findings: &mut Findings,
    ) {
        let (purpose, rulebooks) = (self.scope.purpose, self.scope.rulebooks);
        if assignment.pseudonym != pseudonym.text() || assignment.purpose != purpose {
            let detail = "pseudonym differs from the key, or purpose from that of the topic: \
                either may be a raw identifier";
            findings.violation(Invariant::Pseudonymous, place, detail);
        }
        if !rulebooks.has_version(&assignment.rulebook) {
            findings.unchecked(Unchecked::RulebookUnknown, 1);
        } else if !assignment.segments.iter().all(|id| rulebooks.has_segment(purpose, id)) {
            let detail = "names a segment that is in no rulebook: it may be a raw identifier";
            findings.violation(Invariant::Pseudonymous, place, detail);
        }
    }

    fn rulebook_number(&mut self, version: String) -> u16 {
        let known = self.rulebook_versions.iter().position(|known| *known == version);
        known.unwrap_or_else(|| {
            self.rulebook_versions.push(version);
            self.rulebook_versions.len() - 1
        }) as u16
    }

    fn set_number(&mut self, segments: Vec<String>) -> u32 {
        if !self.has_least {
            return 0;
        }
        let known = self.segment_sets.iter().position(|known| *known == segments);
        known.unwrap_or_else(|| {
            self.segment_sets.push(segments);
            self.segment_sets.len() - 1
        }) as u32
    }

    /// INV-3: an assignment names no segment below the minimum audience, as its chain stated it. `before`:
    /// the record under the same pseudonym before it.
    fn judge_audience(
        &self,
        (partition, offset): (i32, i64),
        (stored, before): (&StoredRecord, Option<&StoredRecord>),
        findings: &mut Findings,
    ) {
        let Some(value) = stored.value.filter(|_| self.has_least) else { return };
        let version = &self.rulebook_versions[usize::from(value.rulebook)];
        if self.scope.rulebooks.least(version, self.scope.purpose).is_none() {
            return;
        }
        let horizon = self.scope.horizons.get(&partition);
        let Some(standing) = horizon.and_then(|it| it.statements.before(offset)) else {
            return findings.unchecked(Unchecked::AudienceUnknown, 1);
        };
        let named = |segment: &str| {
            let before = before?.value.map(|value| &self.segment_sets[value.segments as usize]);
            Some(before.is_some_and(|set| set.iter().any(|id| id == segment)))
        };
        let segments = &self.segment_sets[value.segments as usize];
        let found = too_small(segments, self.scope.purpose, standing, named, findings);
        if let Some(segment) = found {
            let place = (self.scope.topic, self.scope.partition, stored.offset);
            let detail = format!("names {segment} below its minimum audience");
            findings.violation(Invariant::Closed, place, detail);
        }
    }

    /// What the first pass left, in its order.
    pub fn row(&mut self, pseudonym: Pseudonym, row: Row, findings: &mut Findings) {
        let key = self.keys.entry(pseudonym).or_default();
        match row {
            Row::FinalVerdict { partition, final_verdict } => {
                key.final_verdict = Some((partition, final_verdict));
            }
            Row::Effect { partition, offset, decided_at, written } => {
                key.has_effect = true;
                let mut rest = key.records[key.next..].iter();
                let found = rest.position(|it| it.mark() == mark(written, decided_at));
                if let Some(at) = found {
                    let at = key.next + at;
                    key.records[at].named = true;
                    key.next = at + 1;
                    key.missing = None;
                    let key = &self.keys[&pseudonym];
                    let before = at.checked_sub(1).map(|before| &key.records[before]);
                    let stored = (&key.records[at], before);
                    self.judge_audience((partition, offset), stored, findings);
                } else {
                    let is_tombstone = matches!(written, Written::Removed(_));
                    key.missing = Some(Missing { partition, offset, decided_at, is_tombstone });
                }
            }
        }
    }

    /// Effects of which nobody can tell the pseudonym name whatever record they fit. `rows` hands each
    /// of the purpose's to its argument; is asked only where a record has no name yet.
    pub fn unplaced<E>(
        &mut self,
        rows: impl FnOnce(&mut dyn FnMut(Row)) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut nameless: HashMap<
            (Written, Option<Timestamp>),
            Vec<&mut StoredRecord>,
            FixedState,
        > = HashMap::default();
        for stored in self.keys.values_mut().flat_map(|key| &mut key.records) {
            if !stored.named {
                nameless.entry(stored.mark()).or_default().push(stored);
            }
        }
        if nameless.is_empty() {
            return Ok(());
        }
        rows(&mut |row| {
            let Row::Effect { decided_at, written, .. } = row else { return };
            let mark = mark(written, decided_at);
            if let Some(stored) = nameless.get_mut(&mark).and_then(Vec::pop) {
                stored.named = true;
            }
        })
    }

    pub fn finish(self, findings: &mut Findings) {
        for (pseudonym, key) in &self.keys {
            self.report_missing(key, findings);
            self.report_unnamed(key, findings);
            self.judge_live(*pseudonym, key, findings);
        }
    }

    /// INV-5: the last effect's record can't have been compacted away.
    fn report_missing(&self, key: &Key, findings: &mut Findings) {
        let Some(missing) = key.missing else { return };
        let may_be_gone = missing.decided_at + self.scope.tombstones_kept <= self.scope.now;
        if missing.is_tombstone && may_be_gone {
            return;
        }
        let what = if missing.is_tombstone { "a tombstone" } else { "an assignment" };
        let detail = format!("{what} that the audit names is not in {}", self.scope.topic);
        let place = (self.scope.audit, missing.partition, missing.offset);
        findings.violation(Invariant::Atomic, place, detail);
    }

    /// INV-5: what Assent writes, its audit names.
    fn report_unnamed(&self, key: &Key, findings: &mut Findings) {
        let unnamed = key.records.iter().filter(|it| !it.named && it.offset < self.scope.named_to);
        for stored in unnamed {
            let horizon =
                key.final_verdict.and_then(|(partition, _)| self.scope.horizons.get(&partition));
            match horizon {
                None => findings.unchecked(Unchecked::SubjectUnknown, 1),
                Some(horizon) if stored.decided_at <= horizon.audited_from => {
                    findings.unchecked(Unchecked::OlderThanAudit, 1);
                }
                Some(_) => {
                    let place = (self.scope.topic, self.scope.partition, stored.offset);
                    let detail = "a record that no effect in the audit names";
                    findings.violation(Invariant::Atomic, place, detail);
                }
            }
        }
    }

    /// INV-1, INV-4 and INV-13 of the value that stands.
    fn judge_live(&self, pseudonym: Pseudonym, key: &Key, findings: &mut Findings) {
        let stands = |it: &&StoredRecord| it.named || it.offset < self.scope.named_to;
        let Some(stored) = key.records.iter().rev().find(stands) else { return };
        let Some(value) = stored.value else { return };
        let place = (self.scope.topic, self.scope.partition, stored.offset);
        if let Some(violation) =
            invariants::ended(stored.decided_at, value.expires_at, self.scope.now)
        {
            findings.violation(violation.invariant, place, violation.detail);
        }
        let horizon =
            key.final_verdict.and_then(|(partition, _)| self.scope.horizons.get(&partition));
        let sweeps = horizon.is_some_and(|it| self.awaits_sweep(it, value));
        let final_verdict = key.final_verdict.map(|it| it.1).filter(|_| !sweeps);
        if let Some(detail) = lasts_too_long(stored.decided_at, value, final_verdict) {
            findings.violation(Invariant::Leased, place, detail);
        }
        let Some((_, final_verdict)) = key.final_verdict else {
            return self.judge_orphan(pseudonym, place, findings);
        };
        match final_verdict.verdict {
            None => findings.unchecked(Unchecked::StandingUnknown, 1),
            Some(verdict) if verdict.allows() => {}
            Some(_) if sweeps => {
                findings.unchecked(Unchecked::Sweeping, 1);
            }
            Some(verdict) => {
                let older = horizon.is_some_and(|it| stored.decided_at <= it.audited_from);
                let was_allowed = key.has_effect || older;
                let invariant = if was_allowed { Invariant::OptOut } else { Invariant::Consent };
                let detail = format!("a live key that the gate withholds: {}", verdict.symbol());
                findings.violation(invariant, place, detail);
            }
        }
    }

    fn awaits_sweep(&self, horizon: &Horizon, value: Value) -> bool {
        let decided_by = &self.rulebook_versions[usize::from(value.rulebook)];
        horizon.sweeping_to.as_ref().is_some_and(|version| version != decided_by)
    }

    /// A live key that no subject hashes to has nobody's consent.
    fn judge_orphan(&self, pseudonym: Pseudonym, place: (&str, i32, i64), findings: &mut Findings) {
        let version = pseudonym.version();
        let computable = self.scope.keys.versions().any(|known| known == version);
        let detail = match self.scope.keys.status(version) {
            None => {
                format!("a live key under key version {version}, which the keyset does not have")
            }
            Some(_) if !computable => {
                format!("a live key under key version {version}, which is retired")
            }
            Some(_) if !self.scope.all => {
                return findings.unchecked(Unchecked::SubjectUnknown, 1);
            }
            Some(_) => "a live key that belongs to no subject of the consent changelog".to_owned(),
        };
        findings.violation(Invariant::Consent, place, detail);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use assent_contract::domain::outcome::Verdict;

    #[test]
    fn a_value_that_outlasts_its_grant_or_any_lease_is_found() {
        let decided_at = Timestamp(1_795_305_600_000);
        let lasts = |span: Span, grant: Option<Span>| {
            let value = Value { expires_at: decided_at + span, rulebook: 0, segments: 0 };
            let final_verdict = FinalVerdict {
                verdict: Some(Verdict::OptIn),
                grant_ends_at: grant.map(|span| decided_at + span),
            };
            lasts_too_long(decided_at, value, Some(final_verdict)).is_some()
        };
        let (two_days, longest) = (Span(2 * Span::DAY.0), Span(30 * Span::DAY.0));
        let later = |span: Span| Span(span.0 + 1);
        assert!(!lasts(longest, None) && lasts(later(longest), None));
        assert!(!lasts(two_days, Some(two_days)) && lasts(later(two_days), Some(two_days)));
    }
}
