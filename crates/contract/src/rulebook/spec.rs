//! What a person wrote, with its places: the rulebook's shape, before anything is compared.
//!
//! A text that is missing or faulty is empty here, and its fault is named already.

use super::conditions::{self, ConditionSpec};
use super::fields::{Fields, integer, items, text};
use super::{Approach, ReaderKind};
use crate::domain::time::Span;
use crate::yaml::{Content, Fault, Faults, Node, Place, Placed};

pub(super) type Text = Placed<String>;

pub(super) struct RulebookSpec {
    pub version: Text,
    pub default_segment: Text,
    pub purposes: Vec<PurposeSpec>,
    pub segments: Vec<SegmentSpec>,
    pub canary: bool,
}

#[allow(clippy::struct_excessive_bools)] // switches of the rulebook
pub(super) struct PurposeSpec {
    pub id: Text,
    pub title: Text,
    pub sale_or_share: bool,
    pub requires_opt_in: bool,
    pub suspended: bool,
    /// `None`: faulty.
    pub retention: Option<Span>,
    /// `None`: none is asked for, or it is faulty.
    pub min_members: Option<Placed<i64>>,
    pub readers: Vec<ReaderSpec>,
}

pub(super) struct ReaderSpec {
    pub id: Text,
    /// `None`: faulty.
    pub kind: Option<ReaderKind>,
    pub group_id: Text,
}

pub(super) struct SegmentSpec {
    pub place: Place,
    pub id: Text,
    pub title: Text,
    pub why: Text,
    pub owner: Text,
    /// `None`: faulty.
    pub approach: Option<Placed<Approach>>,
    pub purpose: Option<Text>,
    pub when: ConditionSpec,
}

const RULEBOOK: [&str; 5] = ["rulebook", "default_segment", "purposes", "segments", "canary"];
const PURPOSE: [&str; 8] = [
    "id",
    "title",
    "sale_or_share",
    "requires_opt_in",
    "retention",
    "suspended",
    "min_members",
    "readers",
];
const READER: [&str; 3] = ["id", "kind", "group_id"];
const SEGMENT: [&str; 7] = ["id", "title", "why", "owner", "approach", "purpose", "when"];

/// Reads the whole file. `Err`: there is no mapping to read, or it can't be read to its end.
pub(super) fn read(yaml: &[u8]) -> Result<(RulebookSpec, Faults), Vec<Fault>> {
    let mut faults = Faults::default();
    let root = crate::yaml::parse(yaml, "the rulebook", &mut faults);
    if root.is_none() && faults.is_empty() {
        let keys = "`rulebook`, `default_segment`, `purposes` and `segments`";
        faults.add(Place::START, format!("the rulebook is empty; start with {keys}"));
    }
    let spec = root.and_then(|root| rulebook(&root, &mut faults));
    match spec {
        Some(spec) => Ok((spec, faults)),
        None => Err(faults.into_list()),
    }
}

fn rulebook(root: &Node, faults: &mut Faults) -> Option<RulebookSpec> {
    let fields = Fields::of(root, "the rulebook", &RULEBOOK, faults)?;
    let version = "name this version, for example \"2026-11-22\"";
    let default = "name the segment that a front end shows to everybody without one";
    Some(RulebookSpec {
        version: fields.text("rulebook", version, faults),
        default_segment: fields.text("default_segment", default, faults),
        purposes: purposes(&fields, faults),
        segments: segments(&fields, faults),
        canary: fields.switch_or_off("canary", faults),
    })
}

/// A rulebook of contextual segments alone has no purpose.
fn purposes(fields: &Fields<'_>, faults: &mut Faults) -> Vec<PurposeSpec> {
    let Some(node) = fields.find("purposes") else { return Vec::new() };
    if matches!(&node.content, Content::List(purposes) if purposes.is_empty()) {
        return Vec::new();
    }
    items(node, "purposes", faults).iter().filter_map(|node| purpose(node, faults)).collect()
}

fn segments(fields: &Fields<'_>, faults: &mut Faults) -> Vec<SegmentSpec> {
    let Some(node) = fields.required("segments", "declare at least one segment", faults) else {
        return Vec::new();
    };
    items(node, "segments", faults).iter().filter_map(|node| segment(node, faults)).collect()
}

fn purpose(node: &Node, faults: &mut Faults) -> Option<PurposeSpec> {
    let fields = Fields::of(node, "a purpose", &PURPOSE, faults)?;
    let id = fields.text("id", "name this purpose, for example personalized-offers", faults);
    let sale = "say true if data of this purpose is sold or shared, else false";
    let opt_in = "say true if adults must opt in, else false";
    let retention = "say how long a click may count, for example 90d";
    Some(PurposeSpec {
        title: title(&fields, &id, faults),
        sale_or_share: fields.switch("sale_or_share", sale, faults),
        requires_opt_in: fields.switch("requires_opt_in", opt_in, faults),
        suspended: fields.switch_or_off("suspended", faults),
        retention: fields.duration("retention", retention, faults).map(|placed| placed.value),
        min_members: fields
            .find("min_members")
            .and_then(|node| integer(node, "min_members", faults)),
        readers: readers(&fields, faults),
        id,
    })
}

fn readers(fields: &Fields<'_>, faults: &mut Faults) -> Vec<ReaderSpec> {
    let Some(node) = fields.find("readers") else { return Vec::new() };
    items(node, "readers", faults).iter().filter_map(|node| reader(node, faults)).collect()
}

fn reader(node: &Node, faults: &mut Faults) -> Option<ReaderSpec> {
    let fields = Fields::of(node, "a reader", &READER, faults)?;
    let group = "name the consumer group under which it commits how far it has read";
    Some(ReaderSpec {
        id: fields.text("id", "name this reader, for example mail", faults),
        kind: reader_kind(&fields, faults),
        group_id: fields.text("group_id", group, faults),
    })
}

fn reader_kind(fields: &Fields<'_>, faults: &mut Faults) -> Option<ReaderKind> {
    let advice = "write own, service_provider, contractor or third_party";
    let written = fields.text("kind", advice, faults);
    let kind = ReaderKind::ALL.into_iter().find(|kind| kind.label() == written.value);
    if kind.is_none() && !written.value.is_empty() {
        let message = format!("`kind` is `{}`, which is unknown; {advice}", written.value);
        faults.add(written.place, message);
    }
    kind
}

fn segment(node: &Node, faults: &mut Faults) -> Option<SegmentSpec> {
    let fields = Fields::of(node, "a segment", &SEGMENT, faults)?;
    let id = fields.text("id", "name this segment, for example preschool-explorers", faults);
    let when = "say which clicks, age bands or regions it needs";
    Some(SegmentSpec {
        place: fields.place,
        title: title(&fields, &id, faults),
        why: fields.text("why", "say which business purpose this segment serves", faults),
        owner: fields.text("owner", "say who is responsible for this segment", faults),
        approach: approach(&fields, faults),
        purpose: fields
            .find("purpose")
            .filter(|node| !node.is_null())
            .map(|node| text(node, "purpose", "name a declared purpose", faults)),
        when: match fields.required("when", when, faults) {
            None => ConditionSpec::faulty(fields.place),
            Some(node) => conditions::read(node, faults),
        },
        id,
    })
}

/// The id, where there is none.
fn title(fields: &Fields<'_>, id: &Text, faults: &mut Faults) -> Text {
    match fields.find("title") {
        None => id.clone(),
        Some(node) => text(node, "title", "say in plain words what it is", faults),
    }
}

fn approach(fields: &Fields<'_>, faults: &mut Faults) -> Option<Placed<Approach>> {
    let advice = "write behavioral, demographic, hybrid or contextual";
    let written = fields.text("approach", advice, faults);
    let approach = Approach::ALL.into_iter().find(|approach| approach.label() == written.value);
    if approach.is_none() && !written.value.is_empty() {
        let message = format!("`approach` is `{}`, which is unknown; {advice}", written.value);
        faults.add(written.place, message);
    }
    approach.map(|approach| written.place.with(approach))
}
