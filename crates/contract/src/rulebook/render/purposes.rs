//! What data is used for, and whose.

use super::document::{Document, Section, Text};
use crate::rulebook::{Purpose, Reader, Rulebook, words};

pub(super) fn put(document: &mut Document, rulebook: &Rulebook) {
    document.section(Section::Purposes);
    if rulebook.purposes.is_empty() {
        document.paragraph(
            "None: no segment of this rulebook uses data of a person, and no consent is used.",
        );
        return;
    }
    document.table(
        &[
            "Purpose",
            "Title",
            "Sale or sharing",
            "Opt-in at 16 and older",
            "Suspended",
            "Retention",
        ],
        rulebook.purposes.iter().map(declared).collect(),
    );
    document.paragraph(
        Text::from(
            "Sale or sharing is meant as Civ. Code 1798.140(ad) and (ah) define it. Retention is \
             how long a click may count for the purpose (",
        )
        .and_see(Section::Retention)
        .and(
            "). Suspended is a switch for counsel: while it is on, no data is used for the \
             purpose.",
        ),
    );
    audiences(document, rulebook);
    readers(document, rulebook);
    document.heading("Whose data may be used");
    document.table(
        &["Purpose", "Under 13, or age unknown", "13 to 15", "16 and older"],
        rulebook.purposes.iter().map(whose).collect(),
    );
    document.paragraph(
        Text::from(
            "This table summarizes the gate's lines 4 to 9. A denial or withdrawal always ends the \
             use. The gate's table has all conditions (",
        )
        .and_see(Section::Gate)
        .and("). A subject of unknown age is treated as a child under 13."),
    );
}

/// Only where some are asked for.
fn audiences(document: &mut Document, rulebook: &Rulebook) {
    let with_least =
        rulebook.purposes.iter().filter_map(|purpose| Some((purpose, purpose.min_members?)));
    let row = |(purpose, least): (&Purpose, u32)| {
        vec![Text::code(purpose.id.as_str()), format!("{least} subjects").into()]
    };
    let rows: Vec<Vec<Text>> = with_least.map(row).collect();
    if rows.is_empty() {
        return;
    }
    document.heading("Minimum audience");
    document.table(&["Purpose", "A segment is named from"], rows);
    document.paragraph(
        "No assignment names a segment of such a purpose until that many subjects are in it. Below, nobody new \
         is named, and who is named stays so for an hour; at half of it or less the segment ends at once. \
         Counts below it are not shown. It keeps segments from being about very few people; it is no \
         anonymity.",
    );
}

/// Only where some are declared.
fn readers(document: &mut Document, rulebook: &Rulebook) {
    let each = |purpose: &Purpose| -> Vec<Vec<Text>> {
        let row = |reader: &Reader| {
            vec![
                Text::code(purpose.id.as_str()),
                Text::code(reader.id.as_str()),
                reader.kind.says().into(),
                Text::code(reader.group_id.as_str()),
            ]
        };
        purpose.readers.iter().map(row).collect()
    };
    let rows: Vec<Vec<Text>> = rulebook.purposes.iter().flat_map(each).collect();
    if rows.is_empty() {
        return;
    }
    document.heading("Who reads it");
    document.table(&["Purpose", "Reader", "What it is to the shop", "Consumer group"], rows);
    document.paragraph(
        "Service providers and contractors are bound by the contract that Civ. Code 1798.140(ag) \
         and (j) describe; a third party is anybody else (1798.140(ai)). How far each reader is, and \
         the oldest tombstone that it has not read, are watched by the offsets that its group \
         commits.",
    );
}

fn declared(purpose: &Purpose) -> Vec<Text> {
    vec![
        Text::code(purpose.id.as_str()),
        purpose.title.as_str().into(),
        yes(purpose.sale_or_share).into(),
        if purpose.requires_opt_in { "required" } else { "not required: until they opt out" }
            .into(),
        yes(purpose.suspended).into(),
        words::span(purpose.retention).into(),
    ]
}

fn yes(is: bool) -> &'static str {
    if is { "yes" } else { "no" }
}

fn whose(purpose: &Purpose) -> Vec<Text> {
    let id = Text::code(purpose.id.as_str());
    if purpose.suspended {
        let nobody = || Text::from("nobody's: suspended");
        return vec![id, nobody(), nobody(), nobody()];
    }
    vec![
        id,
        if purpose.sale_or_share {
            "only if a verified parent or guardian consented to collection and use (COPPA) and to \
             disclosure (COPPA) and authorized sale or sharing (CCPA), the decision is a grant, \
             and no opt-out preference signal binds"
        } else {
            "only if a verified parent or guardian consented (COPPA) and the decision is a grant"
        }
        .into(),
        if purpose.sale_or_share {
            "only if they opted in themselves, in two steps, and no opt-out preference signal \
             binds"
        } else {
            "only if they opted in themselves"
        }
        .into(),
        match (purpose.requires_opt_in, purpose.sale_or_share) {
            (true, true) => "only if they opted in and no opt-out preference signal binds",
            (true, false) => "only if they opted in",
            (false, true) => {
                "if there is a consent record, they did not opt out, and no opt-out preference \
                 signal binds"
            }
            (false, false) => "if there is a consent record and they did not opt out",
        }
        .into(),
    ]
}
