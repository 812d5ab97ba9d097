//! What a partition holds, counted as it changes: the gauges of docs/metrics.md.

use std::collections::BTreeMap;

use super::edition::Edition;
use super::signals::Signals;
use super::subject::Subject;
use assent_contract::domain::merge::NameId;
use assent_contract::rulebook::SegmentSet;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    pub subjects: BTreeMap<SubjectKind, i64>,
    /// By purpose name and key version.
    pub live_keys: BTreeMap<(NameId, u8), i64>,
    /// By purpose name and the segment's bit, of the rulebook that runs.
    pub members: BTreeMap<(NameId, u8), i64>,
    /// Purposes of subjects, live or not, by the key version of their pseudonym.
    pub pseudonyms: BTreeMap<u8, i64>,
    /// Subjects that have only a signal: [`Self::subjects`] does not count them.
    pub signals: i64,
    /// Memory that the others take ([`super::subjects::Subjects::bytes`]).
    bytes: i64,
}

/// What is counted of one subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counted {
    /// `None`: the canary, who is nobody and no member of anything.
    kind: Option<SubjectKind>,
    live: Vec<LiveKey>,
    /// The key version of the first pseudonym; of the others, where it is another, too.
    key_version: u8,
    of_that_version: i64,
    of_others: Vec<u8>,
    /// Purposes with a minimum audience: what it is in.
    pub qualified: Vec<(NameId, SegmentSet)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct LiveKey {
    purpose: NameId,
    key_version: u8,
    segments: SegmentSet,
    edition: Edition,
}

/// Label `consent` of assent_subjects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SubjectKind {
    Record,
    Unreadable,
    SignalOnly,
    Erased,
}

impl SubjectKind {
    pub const ALL: [Self; 4] = [Self::Record, Self::Unreadable, Self::SignalOnly, Self::Erased];

    pub fn label(self) -> &'static str {
        match self {
            Self::Record => "record",
            Self::Unreadable => "unreadable",
            Self::SignalOnly => "signal_only",
            Self::Erased => "erased",
        }
    }

    fn of(subject: &Subject) -> Self {
        let consent = &subject.consent;
        if consent.is_unreadable() {
            Self::Unreadable
        } else if consent.record.is_some() {
            Self::Record
        } else if consent.signal_at.is_some() {
            Self::SignalOnly
        } else {
            Self::Erased
        }
    }
}

impl Counted {
    pub fn of(subject: &Subject, is_canary: bool) -> Self {
        let live = subject.purposes.iter().filter_map(|state| {
            state.live.as_ref().map(|live| LiveKey {
                purpose: state.name,
                key_version: state.pseudonym.version(),
                segments: live.segments,
                edition: live.edition,
            })
        });
        let versions = subject.purposes.iter().map(|state| state.pseudonym.version());
        let key_version = versions.clone().next().unwrap_or_default();
        Self {
            kind: (!is_canary).then(|| SubjectKind::of(subject)),
            live: live.collect(),
            key_version,
            of_that_version: versions.clone().filter(|it| *it == key_version).count() as i64,
            of_others: versions.filter(|it| *it != key_version).collect(),
            qualified: qualified(subject, is_canary),
        }
    }
}

/// Where a subject counts in an audience; the canary does nowhere.
pub fn qualified(subject: &Subject, is_canary: bool) -> Vec<(NameId, SegmentSet)> {
    let counts = subject.purposes.iter().filter(|state| state.qualified != 0 && !is_canary);
    counts.map(|state| (state.name, state.qualified)).collect()
}

impl Stats {
    /// A subject became another. Most clicks change nothing that is counted here.
    pub fn replace(&mut self, before: Option<&Counted>, after: Option<&Counted>, edition: Edition) {
        if before != after {
            if let Some(before) = before {
                self.shift(before, edition, -1);
            }
            if let Some(after) = after {
                self.shift(after, edition, 1);
            }
        }
    }

    pub fn note_bytes(&mut self, bytes: usize) {
        self.bytes = bytes as i64;
    }

    /// Memory that all subjects take; the room to spare of pages and tables not counted.
    pub fn bytes(&self) -> i64 {
        self.bytes + self.signals * Signals::FOOTPRINT as i64
    }

    /// By label. Includes subjects that have only a signal.
    pub fn subjects_by_label(&self) -> impl Iterator<Item = (&'static str, i64)> {
        let counted = self.subjects.iter().map(|(kind, &count)| (kind.label(), count));
        counted.chain([(SubjectKind::SignalOnly.label(), self.signals)])
    }

    /// Is any pseudonym under another key version than this one?
    pub fn has_pseudonyms_but(&self, active: u8) -> bool {
        self.pseudonyms.iter().any(|(&version, &count)| version != active && count > 0)
    }

    /// The purposes that have live keys.
    pub fn names_with_live_keys(&self) -> impl Iterator<Item = NameId> {
        let mut names: Vec<NameId> = self
            .live_keys
            .iter()
            .filter(|(_, keys)| **keys > 0)
            .map(|((name, _), _)| *name)
            .collect();
        names.dedup();
        names.into_iter()
    }

    fn shift(&mut self, counted: &Counted, edition: Edition, by: i64) {
        if let Some(kind) = counted.kind {
            *self.subjects.entry(kind).or_default() += by;
        }
        *self.pseudonyms.entry(counted.key_version).or_default() += by * counted.of_that_version;
        for &version in &counted.of_others {
            *self.pseudonyms.entry(version).or_default() += by;
        }
        for key in &counted.live {
            *self.live_keys.entry((key.purpose, key.key_version)).or_default() += by;
            let is_member = counted.kind.is_some() && key.edition == edition;
            let mut rest = if is_member { key.segments } else { 0 };
            while rest != 0 {
                let bit = rest.trailing_zeros() as u8;
                *self.members.entry((key.purpose, bit)).or_default() += by;
                rest &= rest - 1;
            }
        }
    }
}
