//! What a partition holds, counted as it changes: the gauges of section 9.

use std::collections::BTreeMap;

use super::mandate::Edition;
use super::subject::{PurposeState, Subject};
use crate::domain::merge::NameId;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    pub subjects: BTreeMap<SubjectKind, i64>,
    /// By purpose name and key version.
    pub live_keys: BTreeMap<(NameId, u8), i64>,
    /// By purpose name and the segment's bit, of the rulebook that runs.
    pub members: BTreeMap<(NameId, u8), i64>,
    /// Memory that the subjects take; the map's spare room not counted.
    pub bytes: i64,
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

impl Stats {
    /// A subject became another. Most clicks change nothing that is counted here.
    pub fn replace(&mut self, before: &Subject, after: &Subject, edition: Edition) {
        if !counts_alike(before, after) {
            self.remove(before, edition);
            self.add(after, edition);
        }
    }

    pub fn add(&mut self, subject: &Subject, edition: Edition) {
        self.shift(subject, edition, 1);
    }

    pub fn remove(&mut self, subject: &Subject, edition: Edition) {
        self.shift(subject, edition, -1);
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

    fn shift(&mut self, subject: &Subject, edition: Edition, by: i64) {
        *self.subjects.entry(SubjectKind::of(subject)).or_default() += by;
        self.bytes += by * subject.footprint() as i64;
        for state in &subject.purposes {
            let Some(live) = &state.live else { continue };
            *self.live_keys.entry((state.name, state.pseudonym.version())).or_default() += by;
            let mut rest = if live.edition == edition { live.segments } else { 0 };
            while rest != 0 {
                let bit = rest.trailing_zeros() as u8;
                *self.members.entry((state.name, bit)).or_default() += by;
                rest &= rest - 1;
            }
        }
    }
}

/// Of the same kind, with the same live keys in the same segments?
fn counts_alike(before: &Subject, after: &Subject) -> bool {
    SubjectKind::of(before) == SubjectKind::of(after)
        && before.footprint() == after.footprint()
        && before.purposes.len() == after.purposes.len()
        && before.purposes.iter().zip(&after.purposes).all(|(before, after)| {
            let held = |state: &PurposeState| {
                state.live.as_ref().map(|live| (live.segments, live.edition))
            };
            before.name == after.name
                && before.pseudonym.version() == after.pseudonym.version()
                && held(before) == held(after)
        })
}
