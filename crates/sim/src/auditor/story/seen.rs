//! What was written, in the model's words: every effect of the audit with its record (INV-5), every
//! token with its subject.

use std::collections::{BTreeMap, BTreeSet};

use crate::auditor::parts::{Part, Written};
use crate::log::Topic;
use crate::model::{Assigned, Change, Entry};
use crate::stage::{PURPOSES, STRANGERS, SUBJECTS, Stage};
use assent_contract::domain::audit::audiences::{self, Stated};
use assent_contract::domain::audit::{AuditEntry, AuditToken, Change as Named, chain::body_hash};
use assent_contract::domain::invariants::Invariant;
use assent_contract::domain::outcome::{DeadLetterReason, TombstoneReason, Verdict};
use assent_contract::domain::segment::SegmentAssignment;
use assent_contract::domain::time::Timestamp;
use assent_contract::wire::framing::HEADER_LEN;
use assent_contract::wire::{
    KnownSchemas, decode_assignment, decode_contextual, decode_dead_letter,
};

/// What a transaction wrote of a partition.
#[derive(Default)]
pub struct Seen {
    pub entries: Vec<Entry>,
    /// Token, segments, time.
    pub contextual: Vec<(String, Vec<String>, Timestamp)>,
    pub dead_letters: Vec<(DeadLetterReason, i64)>,
}

pub struct Live {
    pub subject: &'static str,
    pub assignment: SegmentAssignment,
}

type Broken = (Invariant, String);

/// Knows whose tokens are whose, and what is live.
pub struct Eye {
    tokens: BTreeMap<AuditToken, &'static str>,
    /// With the key's version.
    pseudonyms: BTreeMap<(usize, String), (&'static str, u8)>,
    /// By purpose's place and pseudonym.
    pub live: BTreeMap<(usize, String), Live>,
    /// What the audit stated last of purposes with a minimum audience, by purpose and segment.
    stated: BTreeMap<(String, String), Stated>,
    /// Those purposes.
    with_least: BTreeSet<String>,
}

fn broken<T>(invariant: Invariant, detail: impl Into<String>) -> Result<T, Broken> {
    Err((invariant, detail.into()))
}

impl Eye {
    pub fn new(stage: &Stage) -> Self {
        // Every rulebook of the stage asks for the same.
        let purposes = stage.rulebooks[0].0.purposes.iter();
        let with_least = purposes.filter(|it| it.min_members.is_some()).map(|it| it.id.clone());
        let mut eye = Self {
            tokens: BTreeMap::new(),
            pseudonyms: BTreeMap::new(),
            live: BTreeMap::new(),
            stated: BTreeMap::new(),
            with_least: with_least.collect(),
        };
        for keys in &stage.keys {
            for subject in SUBJECTS.into_iter().chain(STRANGERS) {
                eye.tokens.insert(keys.audit_token(subject.as_bytes()), subject);
                for place in 0..PURPOSES.len() {
                    let pseudonym = keys.pseudonym(place, subject.as_bytes()).text();
                    eye.pseudonyms.insert((place, pseudonym), (subject, keys.active()));
                }
            }
        }
        eye
    }

    pub fn version_of(&self, pseudonym: &str) -> Option<u8> {
        let mut of_it = self.pseudonyms.iter().filter(|it| it.0.1 == pseudonym);
        of_it.next().map(|(_, (_, version))| *version)
    }

    pub fn see(&mut self, part: &Part<'_>) -> Result<Seen, Broken> {
        let mut seen = Seen::default();
        if let Some((statement, _)) = &part.stated {
            let Some(said) = audiences::read(&statement.rulebook) else {
                return broken(Invariant::Closed, "a statement of audiences that says nothing");
            };
            let each = said.iter();
            let each = each.map(|it| ((it.purpose.to_owned(), it.segment.to_owned()), it.stated));
            self.stated = each.collect();
        }
        let effects: Vec<Written<'_>> = part
            .records
            .iter()
            .filter(|it| matches!(it.topic, Topic::Segments(_)))
            .copied()
            .collect();
        let mut written = effects.into_iter();
        for entry in &part.batch.entries {
            let entry = self.entry(part, entry, &mut written)?;
            seen.entries.push(entry);
        }
        if written.next().is_some() {
            return broken(Invariant::Atomic, "a record that no entry of the audit names");
        }
        for written in &part.records {
            let value = written.stored.record.value.as_deref().unwrap_or_default();
            match written.topic {
                Topic::Contextual => match decode_contextual(value, &KnownSchemas::none()) {
                    Ok(of) => seen.contextual.push((of.session_token, of.segments, of.occurred_at)),
                    Err(_) => {
                        return broken(Invariant::Accounted, "an unreadable contextual record");
                    }
                },
                Topic::DeadLetters => match decode_dead_letter(value, &KnownSchemas::none()) {
                    Ok(of) => seen.dead_letters.push((of.reason, of.offset)),
                    Err(_) => return broken(Invariant::Accounted, "an unreadable dead letter"),
                },
                _ => {}
            }
        }
        Ok(seen)
    }

    fn entry<'w>(
        &mut self,
        part: &Part<'_>,
        entry: &AuditEntry,
        written: &mut impl Iterator<Item = Written<'w>>,
    ) -> Result<Entry, Broken> {
        let subject = match &entry.subject {
            None => None,
            Some(token) => match self.tokens.get(token) {
                Some(subject) => Some(*subject),
                None => return broken(Invariant::Provable, "a token of nobody"),
            },
        };
        let mut effects = Vec::new();
        for effect in &entry.effects {
            let Some(record) = written.next() else {
                return broken(Invariant::Atomic, "an effect without its record");
            };
            let purpose = &part.batch.purposes[usize::from(effect.purpose)];
            let place = PURPOSES.iter().position(|it| it == purpose).unwrap_or(PURPOSES.len());
            if record.topic != Topic::Segments(place as u8) {
                return broken(Invariant::Atomic, "an effect's record is of another purpose");
            }
            let key = record.stored.record.key.as_deref().unwrap_or_default();
            let pseudonym = String::from_utf8_lossy(key).into_owned();
            let owner = self.pseudonyms.get(&(place, pseudonym.clone())).copied();
            if owner.map(|it| (Some(it.0), it.1)) != Some((subject, effect.key_version)) {
                return broken(Invariant::Atomic, "an effect's record is another subject's");
            }
            let subject = subject.unwrap_or_default();
            let change = self.change(part, &effect.change, &record, (place, pseudonym), subject)?;
            effects.push((place, change));
        }
        Ok(Entry {
            input: entry.input,
            offset: entry.offset,
            outcome: entry.outcome,
            subject: subject.map(str::to_owned),
            consent_version: entry.consent_version,
            verdicts: entry.verdicts.clone(),
            effects,
            contextual: Vec::new(),
            dead_letter: None,
        })
    }

    /// The first segment that an assignment may not name by what was stated.
    fn too_small(&self, new: &SegmentAssignment, place: usize, subject: &str) -> Option<String> {
        // Under an old key, too: a rotation moves whoever is named.
        let is_its = |key: &(usize, String), live: &Live| key.0 == place && live.subject == subject;
        let is_named = |segment: &String| {
            let mut all = self.live.iter().filter(|(key, live)| is_its(key, live));
            all.any(|(_, live)| live.assignment.segments.contains(segment))
        };
        let may_be =
            |segment: &String| match self.stated.get(&(new.purpose.clone(), segment.clone())) {
                Some(Stated::Open(_)) => true,
                Some(Stated::Held) => is_named(segment),
                None => false,
            };
        let has_least = self.with_least.contains(&new.purpose);
        new.segments.iter().find(|segment| has_least && !may_be(segment)).cloned()
    }

    fn change(
        &mut self,
        part: &Part<'_>,
        named: &Named,
        record: &Written<'_>,
        key: (usize, String),
        subject: &'static str,
    ) -> Result<Change, Broken> {
        let stored = &record.stored.record;
        match (named, &stored.value) {
            (Named::Assigned(hash), Some(value)) => {
                if *hash != body_hash(&value[HEADER_LEN..]) {
                    return broken(Invariant::Atomic, "an assignment that the audit does not name");
                }
                let Ok(assignment) = decode_assignment(value, &KnownSchemas::none()) else {
                    return broken(Invariant::Atomic, "an unreadable assignment");
                };
                if assignment.pseudonym != key.1 || assignment.rulebook != part.batch.rulebook {
                    return broken(Invariant::Atomic, "an assignment of another key or rulebook");
                }
                if let Some(segment) = self.too_small(&assignment, key.0, subject) {
                    let detail = format!("{segment} was named below its minimum audience");
                    return broken(Invariant::Closed, detail);
                }
                let assigned = Assigned {
                    segments: assignment.segments.clone(),
                    basis: assignment.basis,
                    decided_at: assignment.decided_at,
                    expires_at: assignment.expires_at,
                };
                self.live.insert(key, Live { subject, assignment });
                Ok(Ok(assigned))
            }
            (Named::Removed(reason), None) => {
                let header = |name: &str| {
                    let found = stored.headers.iter().find(|header| header.0 == name);
                    found.map(|header| header.1.as_str())
                };
                let decided_at = part.batch.decided_at.to_string();
                if header("reason") != Some(reason) || header("decided_at") != Some(&decided_at) {
                    return broken(Invariant::Atomic, "a tombstone that the audit does not name");
                }
                if self.live.remove(&key).is_none() {
                    return broken(Invariant::OptOut, "a tombstone of what is not live");
                }
                if stored.headers.len() != 2 {
                    return broken(Invariant::Unlinkable, "a tombstone with other headers");
                }
                Ok(Err(reason_of(reason)))
            }
            _ => broken(Invariant::Atomic, "an effect and its record say different things"),
        }
    }
}

fn reason_of(label: &str) -> TombstoneReason {
    let own = [
        TombstoneReason::Erasure,
        TombstoneReason::SegmentsLeft,
        TombstoneReason::RulebookChanged,
        TombstoneReason::KeyRetired,
    ];
    let withheld = Verdict::ALL.iter().map(|it| TombstoneReason::Withheld(*it));
    let mut all = own.into_iter().chain(withheld);
    all.find(|it| it.label() == label).unwrap_or(TombstoneReason::RulebookChanged)
}
