//! From a checked spec to the rulebook that runs: sorted, shared, indexed.
//!
//! Equal conditions of a purpose become one slot, so that a click is counted once (INV-11).

use std::collections::BTreeMap;
use std::fmt::Write;

use sha2::{Digest, Sha256};

use super::canary;
use super::checks;
use super::conditions::{ConditionKind, ConditionSpec, kind_symbol};
use super::spec::{self, PurposeSpec, ReaderSpec, RulebookSpec, SegmentSpec};
use super::{
    Approach, Bound, Condition, ContextualRule, DistinctField, Filter, Measure, PageCondition,
    Purpose, Reader, Rulebook, SegmentRule, Slot, value_hash,
};
use crate::domain::event::ClickFields;
use crate::domain::time::Span;
use crate::yaml::Fault;

/// How old a click may be where no purpose says so (docs/contract/bad-input.md#clicks).
const RETENTION_WITHOUT_PURPOSE: Span = Span::DAY;

/// Reads, checks and compiles a rulebook. `Err`: every refusal, in the order of the file.
pub fn compile(yaml: &[u8]) -> Result<Rulebook, Vec<Fault>> {
    let (spec, mut faults) = spec::read(yaml)?;
    checks::check(&spec, &mut faults);
    if faults.is_empty() { Ok(rulebook(spec, yaml)) } else { Err(faults.into_list()) }
}

fn rulebook(spec: RulebookSpec, yaml: &[u8]) -> Rulebook {
    let mut segments = spec.segments;
    segments.sort_by(|a, b| a.id.value.cmp(&b.id.value));
    let mut purposes: Vec<Purpose> =
        spec.purposes.into_iter().map(|declared| purpose(declared, &segments)).collect();
    let contextual: Vec<ContextualRule> = segments.iter().filter_map(contextual_rule).collect();
    let longest = purposes.iter().map(|purpose| purpose.retention).max();
    if spec.canary {
        purposes.push(canary::purpose(canonical));
    }
    purposes.sort_by(|a, b| a.id.cmp(&b.id));
    Rulebook {
        version: spec.version.value,
        sha256: Sha256::digest(yaml).into(),
        default_segment: spec.default_segment.value,
        fields: fields_read(&purposes, &contextual),
        longest_retention: longest.unwrap_or(RETENTION_WITHOUT_PURPOSE),
        purposes,
        contextual,
    }
}

fn purpose(declared: PurposeSpec, segments: &[SegmentSpec]) -> Purpose {
    let id = declared.id.value;
    let mut slots = Slots::default();
    let own = segments.iter().filter(|s| s.purpose.as_ref().is_some_and(|p| p.value == id));
    let segments = own.map(|segment| segment_rule(segment, &mut slots)).collect();
    let mut readers: Vec<Reader> = declared.readers.into_iter().filter_map(reader).collect();
    readers.sort_by(|a, b| a.id.cmp(&b.id));
    Purpose {
        title: declared.title.value,
        sale_or_share: declared.sale_or_share,
        requires_opt_in: declared.requires_opt_in,
        suspended: declared.suspended,
        retention: declared.retention.unwrap_or_default(),
        min_members: declared.min_members.and_then(|least| u32::try_from(least.value).ok()),
        readers,
        slots: slots.slots,
        segments,
        id,
    }
}

/// One with a faulty kind never gets here.
fn reader(declared: ReaderSpec) -> Option<Reader> {
    let (id, group_id) = (declared.id.value, declared.group_id.value);
    declared.kind.map(|kind| Reader { id, kind, group_id })
}

fn segment_rule(segment: &SegmentSpec, slots: &mut Slots) -> SegmentRule {
    SegmentRule {
        id: segment.id.value.clone(),
        title: segment.title.value.clone(),
        why: segment.why.value.clone(),
        owner: segment.owner.value.clone(),
        // The checks held it against the conditions.
        approach: segment.approach.as_ref().map_or(Approach::Hybrid, |written| written.value),
        condition: condition(&segment.when, slots),
    }
}

fn contextual_rule(segment: &SegmentSpec) -> Option<ContextualRule> {
    if segment.purpose.is_some() {
        return None;
    }
    Some(ContextualRule {
        id: segment.id.value.clone(),
        title: segment.title.value.clone(),
        why: segment.why.value.clone(),
        owner: segment.owner.value.clone(),
        condition: page_condition(&segment.when),
    })
}

fn condition(spec: &ConditionSpec, slots: &mut Slots) -> Condition {
    let mut all = |parts: &[ConditionSpec]| parts.iter().map(|p| condition(p, slots)).collect();
    match &spec.kind {
        ConditionKind::All(parts) => Condition::All(all(parts)),
        ConditionKind::Any(parts) => Condition::Any(all(parts)),
        ConditionKind::Not(part) => Condition::Not(Box::new(condition(part, slots))),
        ConditionKind::AgeBand(bands) => Condition::AgeBand(bands.clone()),
        ConditionKind::Region(regions) => Condition::Region {
            slot: slots.share(Measure::Region, &Filter::default()),
            hashes: regions.iter().map(|region| value_hash(region)).collect(),
            names: regions.clone(),
        },
        ConditionKind::Click(click) => Condition::Slot(slots.share(click.measure, &click.filter)),
        // Neither passes the checks; what holds for nobody is the closed answer (INV-3).
        ConditionKind::Page(_) | ConditionKind::Faulty => Condition::Any(Vec::new()),
    }
}

fn page_condition(spec: &ConditionSpec) -> PageCondition {
    let all = |parts: &[ConditionSpec]| parts.iter().map(page_condition).collect();
    match &spec.kind {
        ConditionKind::All(parts) => PageCondition::All(all(parts)),
        ConditionKind::Any(parts) => PageCondition::Any(all(parts)),
        ConditionKind::Not(part) => PageCondition::Not(Box::new(page_condition(part))),
        ConditionKind::Page(filter) => PageCondition::Page(filter.clone()),
        // None of these passes the checks.
        _ => PageCondition::Any(Vec::new()),
    }
}

/// The slots of a purpose as they are found, each once.
#[derive(Default)]
struct Slots {
    slots: Vec<Slot>,
    by_canonical: BTreeMap<String, usize>,
}

impl Slots {
    fn share(&mut self, measure: Measure, filter: &Filter) -> usize {
        let canonical = canonical(measure, filter);
        *self.by_canonical.entry(canonical).or_insert_with_key(|canonical| {
            let canonical = canonical.clone();
            self.slots.push(Slot { measure, filter: filter.clone(), canonical });
            self.slots.len() - 1
        })
    }
}

/// A condition as one text, the same for every way to write the same; part of the state's format.
fn canonical(measure: Measure, filter: &Filter) -> String {
    let mut text = match measure {
        Measure::Count { within, bound } => format!("count {}", windowed(within, bound)),
        Measure::Distinct { field: DistinctField::ProductId, within, bound } => {
            format!("distinct product_id {}", windowed(within, bound))
        }
        Measure::Distinct { field: DistinctField::Category, within, bound } => {
            format!("distinct category {}", windowed(within, bound))
        }
        Measure::Sum { within, bound } => format!("sum value_cents {}", windowed(within, bound)),
        Measure::LastWithin { within } => format!("last within {}", within.0),
        Measure::LastNotWithin { not_within } => format!("last not_within {}", not_within.0),
        Measure::Region => "region".to_owned(),
    };
    if let Some(kinds) = &filter.kinds {
        text.push_str(" of");
        for kind in kinds {
            put(&mut text, kind_symbol(*kind));
        }
    }
    for (name, values) in [
        ("category", &filter.category),
        ("product_id", &filter.product_id),
        ("product_age_range", &filter.product_age_range),
        ("region", &filter.region),
    ] {
        if let Some(values) = values {
            text.push(' ');
            text.push_str(name);
            for value in values {
                put(&mut text, value);
            }
        }
    }
    text
}

fn windowed(within: Span, bound: Bound) -> String {
    match bound {
        Bound::AtLeast(least) => format!("within {} at_least {least}", within.0),
        Bound::AtMost(most) => format!("within {} at_most {most}", within.0),
    }
}

/// With its length, so that no value can be read as another.
fn put(text: &mut String, value: &str) {
    let _ = write!(text, " {}:{value}", value.len()); // a String takes every write
}

/// The optional fields that some condition reads; no other is decoded (INV-11).
fn fields_read(purposes: &[Purpose], contextual: &[ContextualRule]) -> ClickFields {
    let mut fields = ClickFields::default();
    for slot in purposes.iter().flat_map(|purpose| &purpose.slots) {
        add_slot(slot, &mut fields);
    }
    for rule in contextual {
        add_page(&rule.condition, &mut fields);
    }
    fields
}

pub(super) fn add_slot(slot: &Slot, fields: &mut ClickFields) {
    add_filter(&slot.filter, fields);
    match slot.measure {
        Measure::Distinct { field: DistinctField::ProductId, .. } => fields.product_id = true,
        Measure::Distinct { field: DistinctField::Category, .. } => fields.category = true,
        Measure::Sum { .. } => fields.value_cents = true,
        Measure::Region => fields.region = true,
        Measure::Count { .. } | Measure::LastWithin { .. } | Measure::LastNotWithin { .. } => {}
    }
}

pub(super) fn add_page(condition: &PageCondition, fields: &mut ClickFields) {
    match condition {
        PageCondition::All(parts) | PageCondition::Any(parts) => {
            for part in parts {
                add_page(part, fields);
            }
        }
        PageCondition::Not(part) => add_page(part, fields),
        PageCondition::Page(filter) => add_filter(filter, fields),
    }
}

fn add_filter(filter: &Filter, fields: &mut ClickFields) {
    fields.kind |= filter.kinds.is_some();
    fields.category |= filter.category.is_some();
    fields.product_id |= filter.product_id.is_some();
    fields.product_age_range |= filter.product_age_range.is_some();
    fields.region |= filter.region.is_some();
}
