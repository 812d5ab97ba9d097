//! From where to whom: topic → field → rule → output → reader.

use super::document::{Document, Section, Text};
use super::fields::{OPTIONAL, readers};
use crate::rulebook::{Listed, Purpose, Rulebook};

pub(super) const CLICKS: &str = "clickstream";
pub(super) const CONSENT: &str = "consent-changelog";
pub(super) const CONTEXTUAL: &str = "contextual-segments";
pub(super) const MARKETING: &str = "marketing";
pub(super) const FRONT_END: &str = "the shop's front end";

/// (fields, the gate's lines that read them)
const CONSENT_FIELDS: &[(&[&str], &str)] = &[
    (&["subject_id"], "identifies the subject; the pseudonym"),
    (&["version", "recorded_at"], "which record is valid: the gate's line 2, and after an erasure"),
    (&["decisions"], "the gate's lines 5 to 12, for each purpose"),
    (&["age_band"], "the gate's lines 7 to 9, 11 and 12"),
    (&["guardian"], "the gate's lines 7 and 11"),
    (&["double_opt_in_at"], "the gate's lines 6, 8 and 11"),
    (&["opt_out_signal_at"], "the gate's line 6"),
    (&["source"], "the gate's line 1, if the silence of a source closes the gate"),
];

/// (output, what it holds, reader)
const RECORDS: &[(&str, &str, &str)] = &[
    (
        "segmentation-audit",
        "offset, outcome, verdicts and effects of each input, in a hash chain; a token for the \
         subject, no id and no pseudonym that marketing could use",
        "privacy, legal, auditors",
    ),
    (
        "assent-state",
        "consent, counters and live keys, under a token for the subject",
        "Assent only",
    ),
    (
        "segmentation-dead-letters",
        "the offset of each input that could not be used, and why; never its content",
        "the data platform",
    ),
];

pub(super) fn put(document: &mut Document, rulebook: &Rulebook) {
    document.section(Section::DataMap);
    document.paragraph(
        Text::from(
            "Topics have their default names. The ids of subjects and sessions appear in the two \
             input topics and in nothing else that Assent writes. For the gate's lines see ",
        )
        .and_see(Section::Gate)
        .and(", for the segments ")
        .and_see(Section::Segments)
        .and("."),
    );
    let rows = identity(rulebook)
        .into_iter()
        .chain([signals(rulebook)])
        .chain(OPTIONAL.iter().flat_map(|&field| by_rule(rulebook, field)))
        .chain(consent(rulebook))
        .chain(bands(rulebook))
        .chain(RECORDS.iter().map(record));
    document.table(&["Topic", "Field", "Rule", "Output", "Reader"], rows.collect());
    document.paragraph(
        Text::from(
            "Readers of a purpose that is a sale or sharing may be third parties. What they \
             receive in ",
        )
        .and_code("segments.{purpose}")
        .and(" is a pseudonym of that purpose alone."),
    );
}

fn row(topic: &str, fields: Text, rule: Text, output: Text, reader: &str) -> Vec<Text> {
    vec![Text::code(topic), fields, rule, output, reader.into()]
}

fn identity(rulebook: &Rulebook) -> Vec<Vec<Text>> {
    let mut rows = Vec::new();
    if !rulebook.purposes.is_empty() {
        let fields = Text::codes(["subject_id", "occurred_at"], "");
        let rule = "the gate; the pseudonym, the windows of every segment".into();
        rows.push(row(CLICKS, fields, rule, outputs(&rulebook.purposes, |_| true), MARKETING));
    }
    if !rulebook.contextual.is_empty() {
        let fields = Text::codes(["session_id", "occurred_at"], "");
        let rule = "the token of the session for the day".into();
        rows.push(row(CLICKS, fields, rule, Text::code(CONTEXTUAL), FRONT_END));
    }
    rows
}

/// Where a purpose is a sale or sharing, a signal removes; it never adds.
fn signals(rulebook: &Rulebook) -> Vec<Text> {
    let output = if rulebook.purposes.iter().any(|purpose| purpose.sale_or_share) {
        Text::from("tombstones in ")
            .and_text(outputs(&rulebook.purposes, |purpose| purpose.sale_or_share))
    } else {
        "none: no purpose is a sale or sharing; kept in case one becomes so".into()
    };
    let fields = Text::codes(["gpc", "gpp"], "");
    row(CLICKS, fields, "the gate's line 6".into(), output, MARKETING)
}

fn by_rule<'r>(
    rulebook: &'r Rulebook,
    field: &'static str,
) -> impl Iterator<Item = Vec<Text>> + 'r {
    readers(rulebook, field).map(move |segment| {
        let (output, reader) = output_of(&segment);
        row(CLICKS, Text::code(field), Text::code(segment.id), output, reader)
    })
}

fn output_of(segment: &Listed<'_>) -> (Text, &'static str) {
    match segment.purpose() {
        Some(purpose) => (Text::code(topic_of(purpose)), MARKETING),
        None => (Text::code(CONTEXTUAL), FRONT_END),
    }
}

fn consent(rulebook: &Rulebook) -> Vec<Vec<Text>> {
    if rulebook.purposes.is_empty() {
        return Vec::new();
    }
    let one = |&(fields, rule): &(&[&'static str], &str)| {
        let output = outputs(&rulebook.purposes, |_| true);
        row(CONSENT, Text::codes(fields.iter().copied(), ""), rule.into(), output, MARKETING)
    };
    CONSENT_FIELDS.iter().map(one).collect()
}

/// The segments that rest on the age band.
fn bands(rulebook: &Rulebook) -> impl Iterator<Item = Vec<Text>> {
    rulebook.listed().filter(Listed::reads_age_band).map(|segment| {
        let (output, reader) = output_of(&segment);
        row(CONSENT, Text::code("age_band"), Text::code(segment.id), output, reader)
    })
}

fn record(&(output, holds, reader): &(&'static str, &'static str, &'static str)) -> Vec<Text> {
    let topic = Text::codes([CLICKS, CONSENT], "");
    vec![topic, holds.into(), "every decision".into(), Text::code(output), reader.into()]
}

fn outputs(purposes: &[Purpose], which: impl Fn(&Purpose) -> bool) -> Text {
    let topics: Vec<String> = purposes.iter().filter(|p| which(p)).map(topic_of).collect();
    Text::codes(topics.iter().map(String::as_str), "none")
}

pub(super) fn topic_of(purpose: &Purpose) -> String {
    format!("segments.{}", purpose.id)
}
