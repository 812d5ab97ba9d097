//! Every field of a click that is read, by what, and why. No other is decoded (INV-11).

use super::document::{Document, Section, Text};
use super::holdout;
use crate::rulebook::{Listed, Rulebook};

/// The gate's: always read. (field, reader, why)
const GATE: &[(&str, &str, &str)] = &[
    (
        "subject_id",
        "the gate, and the pseudonym",
        "Identifies the subject, whose consent record decides. It is written nowhere; the \
         pseudonym is computed from it.",
    ),
    (
        "session_id",
        "the session token",
        "The key of a visitor who is not signed in. It is written nowhere; the token of contextual \
         segments is computed from it and changes each UTC day.",
    ),
    (
        "occurred_at",
        "the gate's line 11, and every window",
        "A click that is older than the consent or than the retention of the purpose is not used.",
    ),
    (
        "gpc",
        "the gate's line 6",
        "The opt-out preference signal of the browser (11 CCR 7025). It binds from that click on.",
    ),
    (
        "gpp",
        "the gate's line 6",
        "If it says that the subject opted out of sale or sharing, or can't be decoded, it binds \
         as GPC does.",
    ),
];

/// The optional fields in the schema's order.
pub(super) const OPTIONAL: &[&str] =
    &["kind", "category", "product_id", "product_age_range", "value_cents", "region"];

/// Never read by any rulebook.
const NEVER: &str = "event_id";

pub(super) fn put(document: &mut Document, rulebook: &Rulebook) {
    document.section(Section::Fields);
    let gate =
        GATE.iter().map(|&(field, reader, why)| vec![Text::code(field), reader.into(), why.into()]);
    let rules = OPTIONAL.iter().flat_map(|&field| {
        readers(rulebook, field).map(move |segment| {
            let reader = Text::from("segment ").and_code(segment.id);
            vec![Text::code(field), reader, segment.why.into()]
        })
    });
    document.paragraph(
        Text::from("For the gate's lines see ")
            .and_see(Section::Gate)
            .and(", for the segments ")
            .and_see(Section::Segments)
            .and("."),
    );
    let all = gate.chain(rules).chain(holdout::reads(rulebook)).collect();
    document.table(&["Field", "Read by", "Why"], all);
    let read = rulebook.fields.names();
    let unread = OPTIONAL.iter().copied().filter(|field| !read.contains(field));
    document.paragraph(
        Text::from("Not read, and not even decoded: ")
            .and_text(Text::codes(std::iter::once(NEVER).chain(unread), ""))
            .and(", and every field that the shop adds."),
    );
}

/// The segments that read this field.
pub(super) fn readers<'r>(
    rulebook: &'r Rulebook,
    field: &'static str,
) -> impl Iterator<Item = Listed<'r>> {
    rulebook.listed().filter(move |segment| segment.fields().names().contains(&field))
}
