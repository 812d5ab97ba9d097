//! Each segment: who is in it, why, who answers for it.

use super::document::{Document, Item, Section, Text};
use crate::rulebook::words::Phrase;
use crate::rulebook::{Listed, Rulebook};

pub(super) fn put(document: &mut Document, rulebook: &Rulebook) {
    document.section(Section::Segments);
    for purpose in &rulebook.purposes {
        document.heading(
            Text::from(format!("For the purpose “{}” (", purpose.title))
                .and_code(purpose.id.as_str())
                .and(")"),
        );
        document.paragraph("On clicks that the gate allowed for this purpose:");
        for segment in purpose.listed() {
            put_segment(document, &segment);
        }
    }
    if !rulebook.contextual.is_empty() {
        document.heading("Contextual");
        document.paragraph(
            "These have no purpose and depend only on the current page, not on who looks at it:",
        );
        for rule in &rulebook.contextual {
            put_segment(document, &rule.listed());
        }
    }
}

fn put_segment(document: &mut Document, segment: &Listed<'_>) {
    document.subheading(Text::from(segment.title).and(" (").and_code(segment.id).and(")"));
    document.list([
        Item::labeled("Why", segment.why),
        Item::labeled("Owner", segment.owner),
        Item::labeled("Approach", segment.approach().label()),
        in_it(segment.condition()),
        Item::labeled("Reads", reads(segment)),
    ]);
}

/// The condition, with its parts beneath it.
fn in_it(condition: Phrase) -> Item {
    let Phrase { text, parts } = condition;
    let parts = parts.into_iter().map(nested).collect();
    Item { parts, ..Item::labeled("In it while", text) }
}

fn nested(phrase: Phrase) -> Item {
    Item { text: phrase.text.into(), parts: phrase.parts.into_iter().map(nested).collect() }
}

fn reads(segment: &Listed<'_>) -> Text {
    let band = segment.reads_age_band();
    let none = if band { "no field of a click" } else { "only that there was a click, and when" };
    let text = Text::codes(segment.fields().names(), none);
    if !band {
        return text;
    }
    text.and("; ").and_code("age_band").and(" of the consent record")
}
