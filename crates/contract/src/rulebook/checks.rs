//! What no rulebook may say, where one part must be held against another
//! (docs/contract/rulebook.md#what-is-refused).
//!
//! Finds everything that is wrong in one run; changes nothing.

use std::collections::{BTreeMap, BTreeSet};

use super::conditions::{ConditionKind, ConditionSpec};
use super::readers::READERS_MAX;
use super::spec::{PurposeSpec, RulebookSpec, SegmentSpec, Text};
use super::{Approach, Measure, SEGMENTS_MAX, audience, themes};
use crate::domain::audit::{audiences, loss};
use crate::domain::ids::{RESERVED_PURPOSES, is_slug};
use crate::domain::time::Span;
use crate::yaml::{Faults, Place};

/// Names every fault of a rulebook whose shape was read.
pub(super) fn check(spec: &RulebookSpec, faults: &mut Faults) {
    check_version(&spec.version, faults);
    check_id(&spec.default_segment, faults);
    check_wording(&spec.default_segment, faults);
    check_unique(spec.purposes.iter().map(|purpose| &purpose.id), "purpose", faults);
    check_unique(spec.segments.iter().map(|segment| &segment.id), "segment", faults);
    for purpose in &spec.purposes {
        check_purpose(purpose, &spec.segments, faults);
    }
    for segment in &spec.segments {
        check_segment(segment, &spec.purposes, faults);
    }
    check_numbers(&spec.segments, faults);
}

/// In the audit such a version stands for something else.
fn check_version(version: &Text, faults: &mut Faults) {
    for mark in [loss::MARK, audiences::MARK] {
        if version.value.starts_with(mark) {
            let message =
                format!("`rulebook` must not begin with `{mark}`; choose another version");
            faults.add(version.place, message);
        }
    }
}

fn check_purpose(purpose: &PurposeSpec, segments: &[SegmentSpec], faults: &mut Faults) {
    let PurposeSpec { id, title, .. } = purpose;
    check_id(id, faults);
    check_wording(id, faults);
    check_wording(title, faults);
    if RESERVED_PURPOSES.contains(&id.value.as_str()) {
        let message =
            format!("`id` must not be `{}`, which Assent uses itself; choose another id", id.value);
        faults.add(id.place, message);
    }
    check_readers(purpose, faults);
    if let Some(least) = &purpose.min_members
        && !audience::LEAST_RANGE.contains(&least.value)
    {
        let message = format!(
            "`min_members` must be {} to {}; leave it out for no minimum audience",
            audience::LEAST_RANGE.start(),
            audience::LEAST_RANGE.end()
        );
        faults.add(least.place, message);
    }
    let uses =
        |segment: &SegmentSpec| segment.purpose.as_ref().is_some_and(|p| p.value == id.value);
    if !id.value.is_empty() && !segments.iter().any(uses) {
        let message = format!(
            "no segment uses the purpose `{}`; remove it, so that nobody is asked for consent in \
             vain",
            id.value
        );
        faults.add(id.place, message);
    }
}

/// A reader's lag is a group's: two readers of one group would be told apart by nothing.
fn check_readers(purpose: &PurposeSpec, faults: &mut Faults) {
    let mut groups = BTreeSet::new();
    for reader in &purpose.readers {
        check_id(&reader.id, faults);
        let group = &reader.group_id;
        if !group.value.is_empty() && !is_group_id(&group.value) {
            let message = "`group_id` must be 1 to 249 printable ASCII characters other than a \
                quotation mark; name the reader's consumer group";
            faults.add(group.place, message);
        } else if !group.value.is_empty() && !groups.insert(group.value.as_str()) {
            let message = format!(
                "the group `{}` is already a reader of this purpose; give each reader its own group",
                group.value
            );
            faults.add(group.place, message);
        }
    }
    check_unique(purpose.readers.iter().map(|reader| &reader.id), "reader", faults);
    if let Some(beyond) = purpose.readers.get(READERS_MAX) {
        let message = format!("more than {READERS_MAX} readers of one purpose; remove some");
        faults.add(beyond.id.place, message);
    }
}

/// Kafka takes any text; what we print into commands takes these.
fn is_group_id(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'\'' | b'"' | b'`');
    (1..=249).contains(&text.len()) && text.bytes().all(is_plain)
}

fn check_segment(segment: &SegmentSpec, purposes: &[PurposeSpec], faults: &mut Faults) {
    check_id(&segment.id, faults);
    check_wording(&segment.id, faults);
    check_wording(&segment.title, faults);
    let parts = Parts::of(&segment.when);
    if let (Some(page), true) = (parts.page, parts.click || parts.demographic) {
        let message = "`page` can't be combined with other conditions; write a contextual segment \
            of its own";
        faults.add(page, message);
    } else if let Some(derived) = parts.approach() {
        check_approach(segment, derived, faults);
        check_purpose_of(segment, derived, faults);
    }
    if let Some(named) = segment.purpose.as_ref().filter(|named| !named.value.is_empty()) {
        match purposes.iter().find(|purpose| purpose.id.value == named.value) {
            None => {
                let message = format!(
                    "`purpose` is `{}`, which is not declared; declare it under `purposes`",
                    named.value
                );
                faults.add(named.place, message);
            }
            Some(PurposeSpec { retention: Some(retention), .. }) => {
                check_windows(&segment.when, *retention, faults);
            }
            Some(_) => {}
        }
    }
}

fn check_approach(segment: &SegmentSpec, derived: Approach, faults: &mut Faults) {
    if let Some(written) = segment.approach.as_ref().filter(|written| written.value != derived) {
        let (written, place) = (written.value.label(), written.place);
        let derived = derived.label();
        faults.add(
            place,
            format!(
                "`approach` is {written}, but the conditions make it {derived}; write `approach: \
                 {derived}`"
            ),
        );
    }
}

fn check_purpose_of(segment: &SegmentSpec, derived: Approach, faults: &mut Faults) {
    match &segment.purpose {
        Some(purpose) if derived == Approach::Contextual => {
            let message = "`purpose` is set, but a contextual segment uses no data of a person; \
                remove it";
            faults.add(purpose.place, message);
        }
        None if derived != Approach::Contextual => {
            let message = format!(
                "`purpose` is missing: a {} segment uses data of a person, so name a declared \
                 purpose",
                derived.label()
            );
            faults.add(segment.place, message);
        }
        _ => {}
    }
}

/// Ids match `[a-z0-9-]{1,64}`.
fn check_id(id: &Text, faults: &mut Faults) {
    if !id.value.is_empty() && !is_slug(&id.value) {
        let message = format!("`{}` is not an id; write 1 to 64 of a-z, 0-9 and -", id.value);
        faults.add(id.place, message);
    }
}

fn check_wording(text: &Text, faults: &mut Faults) {
    if themes::names_exact_age(&text.value) {
        let message = format!(
            "`{}` names an exact age or a birth date; name an age band, or a range such as \"ages \
             3 to 5\"",
            text.value
        );
        faults.add(text.place, message);
    }
    if let Some(theme) = themes::sensitive_theme(&text.value) {
        let message = format!(
            "`{}` names a sensitive theme ({theme}; Civ. Code 1798.140(ae)), which no segment or \
             purpose may use; choose other words",
            text.value
        );
        faults.add(text.place, message);
    }
}

fn check_unique<'s>(ids: impl Iterator<Item = &'s Text>, what: &str, faults: &mut Faults) {
    let mut seen = BTreeSet::new();
    for id in ids.filter(|id| !id.value.is_empty()) {
        if !seen.insert(id.value.as_str()) {
            let message = format!(
                "the id `{}` of this {what} is already in use; give each its own id",
                id.value
            );
            faults.add(id.place, message);
        }
    }
}

/// At most 128 segments of each purpose, and as many contextual ones.
fn check_numbers(segments: &[SegmentSpec], faults: &mut Faults) {
    let mut numbers: BTreeMap<Option<&str>, usize> = BTreeMap::new();
    for segment in segments {
        let purpose = segment.purpose.as_ref().map(|purpose| purpose.value.as_str());
        let number = numbers.entry(purpose).or_default();
        *number += 1;
        if *number == SEGMENTS_MAX + 1 {
            let of = purpose.map_or("no purpose".to_owned(), |id| format!("purpose `{id}`"));
            let message = format!("more than {SEGMENTS_MAX} segments of {of}; remove some");
            faults.add(segment.id.place, message);
        }
    }
}

/// No window is longer than the purpose keeps a click.
fn check_windows(condition: &ConditionSpec, retention: Span, faults: &mut Faults) {
    match &condition.kind {
        ConditionKind::All(parts) | ConditionKind::Any(parts) => {
            for part in parts {
                check_windows(part, retention, faults);
            }
        }
        ConditionKind::Not(part) => check_windows(part, retention, faults),
        ConditionKind::Click(click) => {
            let window = window(click.measure);
            if window > retention {
                let message = format!(
                    "{window} is longer than the `retention` of the purpose, {retention}; shorten \
                     it, or have counsel agree to a longer retention"
                );
                faults.add(click.window_place, message);
            }
        }
        _ => {}
    }
}

fn window(measure: Measure) -> Span {
    match measure {
        Measure::Count { within, .. }
        | Measure::Distinct { within, .. }
        | Measure::Sum { within, .. }
        | Measure::LastWithin { within } => within,
        Measure::LastNotWithin { not_within } => not_within,
        Measure::Region => Span::default(),
    }
}

/// What a condition is made of.
#[derive(Clone, Copy, Default)]
struct Parts {
    page: Option<Place>,
    click: bool,
    demographic: bool,
    faulty: bool,
}

impl Parts {
    fn of(condition: &ConditionSpec) -> Self {
        let own = Self::default();
        match &condition.kind {
            ConditionKind::All(parts) | ConditionKind::Any(parts) => {
                // An empty list is a fault of its own.
                let empty = Self { faulty: parts.is_empty(), ..own };
                parts.iter().map(Self::of).fold(empty, Self::and)
            }
            ConditionKind::Not(part) => Self::of(part),
            ConditionKind::AgeBand(_) | ConditionKind::Region(_) => {
                Self { demographic: true, ..own }
            }
            ConditionKind::Click(_) => Self { click: true, ..own },
            ConditionKind::Page(_) => Self { page: Some(condition.place), ..own },
            ConditionKind::Faulty => Self { faulty: true, ..own },
        }
    }

    fn and(self, other: Self) -> Self {
        Self {
            page: self.page.or(other.page),
            click: self.click || other.click,
            demographic: self.demographic || other.demographic,
            faulty: self.faulty || other.faulty,
        }
    }

    /// `None`: a part is faulty, so that nothing can be said.
    fn approach(self) -> Option<Approach> {
        match (self.click, self.demographic) {
            _ if self.faulty => None,
            (false, false) => Some(Approach::Contextual),
            (true, false) => Some(Approach::Behavioral),
            (false, true) => Some(Approach::Demographic),
            (true, true) => Some(Approach::Hybrid),
        }
    }
}
