//! The report of readers as a document.

use super::{Key, OfPurpose, OfReader, Readers, Source};
use crate::form::{Document, Report, Text};
use crate::period::moment;
use assent_contract::domain::time::Timestamp;

impl Report for Readers {
    fn document(&self) -> Document {
        let mut document = Document::titled("Readers of segments: who has applied which opt-outs");
        document.paragraph(format!(
            "As of {} UTC. A tombstone removes a key from a purpose, and a reader has to drop the key with it. A business \
             must stop selling and sharing within 15 business days of a request, and tell third parties to whom it sold \
             or shared in between (11 CCR 7026(f)). Holidays count as business days here.",
            moment(self.at)
        ));
        document.list(self.notes.iter());
        if self.purposes.is_empty() {
            document.paragraph("No purpose of the rulebook declares a reader.");
        }
        for purpose in &self.purposes {
            put_readers(&mut document, purpose);
            put_keys(&mut document, purpose);
        }
        self.put_acks(&mut document);
        document.section("What only counsel can say");
        document.list([
            Text::from("Third parties that were told of these requests, and when: ")
                .and_blank("names and days"),
            Text::from("What readers passed on to others: ")
                .and_blank("Assent knows its own topics alone"),
        ]);
        document
    }
}

impl Readers {
    fn put_acks(&self, document: &mut Document) {
        if self.unreadable_acks_count == 0 && self.undeclared_acks_count == 0 {
            return;
        }
        document.section("Acknowledgements that were not believed");
        document.paragraph(format!(
            "{} records of readers, topics or partitions that the rulebook does not have; {} that say nothing that can \
             be known. Where such a record is a reader's last word, what its group committed counts instead.",
            self.undeclared_acks_count, self.unreadable_acks_count
        ));
        let rows = self.unreadable_acks.iter().map(|it| {
            vec![
                Text::from(it.partition.to_string()),
                Text::from(it.offset.to_string()),
                Text::from(it.why),
            ]
        });
        let rows: Vec<_> = rows.collect();
        if !rows.is_empty() {
            document.table("The first of them", &["Partition", "Offset", "Why"], rows);
        }
    }
}

fn put_readers(document: &mut Document, purpose: &OfPurpose) {
    document.section(purpose.purpose.as_str());
    let kind = if purpose.sale_or_share { "is sale or sharing" } else { "is no sale or sharing" };
    document.paragraph(format!("The purpose {kind}."));
    let head = [
        "Reader",
        "Is",
        "Known by",
        "Tombstones not applied",
        "The oldest",
        "Requested (UTC)",
        "Due (UTC)",
        "Overdue, business days",
        "Keys it may have used after a request",
    ];
    document.table(
        format!("Readers of {}", purpose.purpose),
        &head,
        purpose.readers.iter().map(row).collect(),
    );
}

fn row(reader: &OfReader) -> Vec<Text> {
    let of_oldest = |say: &dyn Fn(&super::Unapplied) -> Text| {
        reader.oldest.as_ref().map_or_else(|| Text::from("-"), say)
    };
    vec![
        Text::code(&reader.reader),
        reader.kind.says().into(),
        known_by(reader).into(),
        reader.unapplied_tombstones.into(),
        of_oldest(&|it| {
            let place = format!("{}/{}, {}", it.partition, it.offset, moment(it.removed_at));
            Text::from(place).and(": ").and_code(&it.reason)
        }),
        of_oldest(&|it| told(it.requested_at)),
        of_oldest(&|it| moment(it.due_at).into()),
        of_oldest(&|it| match it.overdue_business_days {
            0 => Text::from("0"),
            days => Text::strong(days.to_string()),
        }),
        reader.keys_count.into(),
    ]
}

fn told(at: Option<Timestamp>) -> Text {
    at.map_or_else(|| Text::from("no request, or not known any more"), |at| moment(at).into())
}

/// Partitions may differ.
fn known_by(reader: &OfReader) -> String {
    let sources = [
        (Source::Acknowledged, "its acknowledgements"),
        (Source::Committed, "the offsets of its group"),
        (Source::Unknown, "nothing"),
    ];
    let of = |source| reader.partitions.iter().filter(|it| it.source == source).count();
    let parts = sources.into_iter().filter_map(|(source, name)| match of(source) {
        0 => None,
        count if count == reader.partitions.len() => Some(name.to_owned()),
        count => Some(format!("{name} ({count} of {} partitions)", reader.partitions.len())),
    });
    parts.collect::<Vec<_>>().join(", ")
}

fn put_keys(document: &mut Document, purpose: &OfPurpose) {
    if purpose.keys_count == 0 {
        return;
    }
    document.paragraph(format!(
        "Keys whose person asked to be left out, and which a reader may have used between the request and the \
         tombstone: {}. Where an assignment was written after the request, data went out after it.",
        purpose.keys_count
    ));
    let head = [
        "Key",
        "Reason",
        "Requested (UTC)",
        "Removed (UTC)",
        "Written after the request",
        "Readers",
    ];
    document.table(
        format!("The first {} of them", purpose.keys.len()),
        &head,
        purpose.keys.iter().map(key_row).collect(),
    );
}

fn key_row(key: &Key) -> Vec<Text> {
    let written = match key.written_after_request {
        Some(true) => Text::strong("yes"),
        Some(false) => Text::from("no"),
        None => Text::from("not known any more"),
    };
    let mut readers = Text::default();
    for it in &key.readers {
        if !readers.0.is_empty() {
            readers = readers.and(", ");
        }
        readers = readers.and_code(&it.reader);
        if !it.has_applied {
            readers = readers.and(" (has not applied it)");
        }
    }
    vec![
        Text::code(&key.key),
        Text::code(&key.reason),
        told(key.requested_at),
        moment(key.removed_at).into(),
        written,
        readers,
    ]
}

#[cfg(test)]
mod tests {
    use super::super::{Position, Told, Unapplied};
    use super::*;
    use crate::form::{html, markdown};
    use assent_contract::rulebook::ReaderKind;

    fn reader() -> OfReader {
        let position =
            |partition, source| Position { partition, source, next_offset: 3, end: 9, at: None };
        OfReader {
            reader: "mail".into(),
            kind: ReaderKind::ThirdParty,
            group_id: "mailer".into(),
            partitions: vec![position(0, Source::Acknowledged), position(1, Source::Committed)],
            unapplied_tombstones: 4,
            oldest: Some(Unapplied {
                partition: 1,
                offset: 5,
                reason: "opted_out".into(),
                requested_at: None,
                removed_at: Timestamp(0),
                due_at: Timestamp(0),
                overdue_business_days: 7,
            }),
            keys_count: 1,
        }
    }

    #[test]
    fn a_page_names_who_is_late_and_escapes_what_a_key_says() {
        let key = Key {
            key: "<b>|`".into(),
            reason: "opted_out".into(),
            requested_at: Some(Timestamp(0)),
            removed_at: Timestamp(1_000),
            written_after_request: Some(true),
            readers: vec![Told { reader: "mail".into(), has_applied: false }],
        };
        let purpose = OfPurpose {
            purpose: "ads".into(),
            sale_or_share: true,
            readers: vec![reader()],
            keys: vec![key],
            keys_count: 12,
        };
        let report = Readers {
            at: Timestamp(0),
            unreadable_acks: Vec::new(),
            unreadable_acks_count: 0,
            undeclared_acks_count: 0,
            purposes: vec![purpose],
            notes: vec!["A note.".into()],
        };
        assert!(report.is_overdue());
        let text = markdown(&report.document());
        assert!(text.contains("its acknowledgements (1 of 2 partitions)"), "{text}");
        assert!(text.contains("**7**") && text.contains("tombstone: 12."), "{text}");
        let page = html(&report.document());
        assert!(!page.contains("<b>|") && page.contains("&lt;b&gt;|"), "{page}");
    }
}
