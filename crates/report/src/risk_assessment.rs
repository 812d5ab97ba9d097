//! The facts of a risk assessment (11 CCR 7152): what is processed, of whom, why, for how long, who gets it, and what
//! safeguards the code keeps. Every judgment is a marked blank.

use serde::Serialize;

use crate::form::{Document, Report, Text};
use crate::period::moment;
use crate::retention::{self, RetentionPolicy};
use crate::topic::{Holding, TopicFacts};
use assent_contract::domain::consent::AgeBand;
use assent_contract::domain::time::Span;
use assent_contract::rulebook::{Listed, Purpose, Rulebook};

#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct RiskAssessment {
    pub retention: RetentionPolicy,
    pub processing: Vec<Processing>,
    pub data: Vec<Category>,
    pub flows: Vec<Flow>,
    pub age_bands: Vec<OfBand>,
    pub safeguards: Vec<Safeguard>,
}

/// A purpose, and what is done for it.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct Processing {
    pub purpose: String,
    pub title: String,
    pub sale_or_share: bool,
    pub requires_opt_in: bool,
    pub suspended: bool,
    pub segments: Vec<Segment>,
}

#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct Segment {
    pub id: String,
    pub title: String,
    pub why: String,
    pub owner: String,
    pub approach: &'static str,
    /// Fields of a click that it reads.
    pub fields: Vec<&'static str>,
    pub reads_age_band: bool,
}

#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct Category {
    pub category: &'static str,
    pub fields: Vec<&'static str>,
    pub source: &'static str,
    pub used_for: String,
}

#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct Flow {
    pub topic: String,
    pub holds: String,
    pub written_by: &'static str,
    pub read_by: Vec<String>,
}

#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct OfBand {
    pub age_band: &'static str,
    /// What a use of sale or sharing rests on, and any other.
    pub sale_or_share: &'static str,
    pub other: &'static str,
    pub cite: &'static str,
}

#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct Safeguard {
    pub what: &'static str,
    /// Where it is described, and how it is tested.
    pub document: &'static str,
}

const SAFEGUARDS: &[Safeguard] = &[
    Safeguard {
        what: "A segment rests only on clicks that the gate allowed, and is live only while it allows the purpose \
               (INV-1)",
        document: "docs/contract/gate.md",
    },
    Safeguard {
        what: "Without consent, with consent out of date, unreadable, or of unknown age, nothing personal is used \
               (INV-3)",
        document: "docs/contract/invariants.md",
    },
    Safeguard {
        what: "An opt-out removes every live key and all counters in the transaction that records it (INV-4)",
        document: "docs/law.md",
    },
    Safeguard {
        what: "What is published is a keyed pseudonym, another one for each purpose (INV-6, INV-7)",
        document: "docs/contract/pseudonyms.md",
    },
    Safeguard {
        what: "Only fields that a live rule or the gate reads are decoded; only what a live rule needs is kept \
               (INV-11)",
        document: "docs/contract/invariants.md",
    },
    Safeguard {
        what: "Each decision is in a hash chain that shows any alteration (INV-9)",
        document: "docs/audit.md",
    },
    Safeguard {
        what: "An assignment ends by itself unless it is decided again (INV-13)",
        document: "docs/readers.md",
    },
    Safeguard {
        what: "Each role has grants of its own, and encryption and logins are those of the brokers",
        document: "docs/security.md",
    },
    Safeguard {
        what: "Opt-outs are tested all the time, and a slow one pages somebody",
        document: "docs/operating.md",
    },
];

const BANDS: [(AgeBand, &str, &str, &str); 5] = {
    let guardian = "a verified guardian's consent, their separate consent to disclosure and their authorization";
    let consent = "a verified guardian's consent";
    let cite = "16 CFR 312.5; 11 CCR 7070; Civ. Code 1798.120(c)";
    let adult = "no opt-out and no opt-out signal; an opt-in where the purpose requires one";
    let other = "no opt-out; an opt-in where the purpose requires one";
    [
        (AgeBand::Unknown, guardian, consent, cite),
        (AgeBand::Under13, guardian, consent, cite),
        (
            AgeBand::From13To15,
            "their own opt-in, in two steps",
            "their own opt-in (house rule)",
            "11 CCR 7071",
        ),
        (AgeBand::From16To17, adult, other, "Civ. Code 1798.120; 11 CCR 7025"),
        (AgeBand::From18, adult, other, "Civ. Code 1798.120; 11 CCR 7025"),
    ]
};

impl RiskAssessment {
    pub fn of(facts: &retention::Facts<'_>) -> Self {
        let rulebook = facts.rulebook;
        let band = |&(band, sale_or_share, other, cite): &(AgeBand, _, _, _)| OfBand {
            age_band: band.symbol(),
            sale_or_share,
            other,
            cite,
        };
        Self {
            retention: RetentionPolicy::of(facts),
            processing: rulebook.declared().map(processing).collect(),
            data: data(rulebook),
            flows: facts.topics.iter().map(|topic| flow(topic, rulebook)).collect(),
            age_bands: BANDS.iter().map(band).collect(),
            safeguards: SAFEGUARDS.to_vec(),
        }
    }
}

fn processing(purpose: &Purpose) -> Processing {
    Processing {
        purpose: purpose.id.clone(),
        title: purpose.title.clone(),
        sale_or_share: purpose.sale_or_share,
        requires_opt_in: purpose.requires_opt_in,
        suspended: purpose.suspended,
        segments: purpose.listed().map(|it| segment(&it)).collect(),
    }
}

fn segment(listed: &Listed<'_>) -> Segment {
    Segment {
        id: listed.id.to_owned(),
        title: listed.title.to_owned(),
        why: listed.why.to_owned(),
        owner: listed.owner.to_owned(),
        approach: listed.approach().label(),
        fields: listed.fields().names(),
        reads_age_band: listed.reads_age_band(),
    }
}

fn data(rulebook: &Rulebook) -> Vec<Category> {
    let by_segments = |fields: &[&'static str]| {
        let reads =
            |it: &Listed<'_>| it.fields().names().iter().any(|field| fields.contains(field));
        let ids: Vec<&str> = rulebook.listed().filter(reads).map(|it| it.id).collect();
        if ids.is_empty() {
            "nothing: not decoded".to_owned()
        } else {
            format!("segments {}", ids.join(", "))
        }
    };
    let of_clicks = |category, fields: &[&'static str]| Category {
        category,
        fields: fields.to_vec(),
        source: "clickstream",
        used_for: by_segments(fields),
    };
    let fixed = |category, fields: &[&'static str], source, used_for: &str| Category {
        category,
        fields: fields.to_vec(),
        source,
        used_for: used_for.to_owned(),
    };
    vec![
        fixed(
            "identifiers",
            &["subject_id", "session_id"],
            "clickstream, consent-changelog",
            "the gate; pseudonyms",
        ),
        of_clicks("internet activity", &["kind", "category"]),
        of_clicks("commercial information", &["product_id", "product_age_range", "value_cents"]),
        of_clicks("coarse location", &["region"]),
        fixed("time of activity", &["occurred_at"], "clickstream", "the gate; windows"),
        fixed(
            "opt-out signals",
            &["gpc", "gpp", "opt_out_signal_at"],
            "clickstream, consent-changelog",
            "the gate",
        ),
        fixed("age", &["age_band"], "consent-changelog", "the gate; segments that name a band"),
        fixed(
            "consent and guardian's consent",
            &["decisions", "guardian", "double_opt_in_at"],
            "consent-changelog",
            "the gate",
        ),
    ]
}

fn flow(topic: &TopicFacts, rulebook: &Rulebook) -> Flow {
    let (written_by, read_by) = match &topic.holding {
        Holding::Clicks => ("the shop", vec!["Assent".to_owned()]),
        Holding::Consent => {
            ("the shop's consent intake", vec!["Assent".to_owned(), "auditors".to_owned()])
        }
        Holding::Segments(purpose) => ("Assent", readers(rulebook, purpose)),
        Holding::Contextual => ("Assent", vec!["the shop's front end".to_owned()]),
        Holding::Audit => ("Assent", vec!["auditors".to_owned()]),
        Holding::AuditAccess => ("commands that ask the audit", vec!["auditors".to_owned()]),
        Holding::DeadLetters => ("Assent", vec!["the data platform".to_owned()]),
        Holding::ReaderAcks => ("readers", vec!["`assent report readers`".to_owned()]),
        Holding::State | Holding::Requests | Holding::Identities | Holding::IntakeState => {
            ("Assent", vec!["Assent".to_owned()])
        }
    };
    Flow { topic: topic.name.clone(), holds: topic.holding.what(), written_by, read_by }
}

fn readers(rulebook: &Rulebook, purpose: &str) -> Vec<String> {
    let purpose = rulebook.declared().find(|it| it.id == purpose);
    let readers = purpose.map(|it| it.readers.as_slice()).unwrap_or_default();
    readers.iter().map(|it| format!("{} ({})", it.id, it.kind.says())).collect()
}

impl Report for RiskAssessment {
    fn document(&self) -> Document {
        let mut document = Document::titled("Risk assessment: the facts");
        document.paragraph(format!(
            "Filled in from rulebook {} and the topics as of {} UTC. Facts are filled in; every judgment is a marked \
             blank. The parts follow 11 CCR 7152, whose words counsel should compare. This is not legal advice.",
            self.retention.rulebook,
            moment(self.retention.made_at)
        ));
        self.put_purposes(&mut document);
        self.put_data(&mut document);
        self.put_operation(&mut document);
        self.put_children(&mut document);
        self.put_judgments(&mut document);
        document
    }
}

impl RiskAssessment {
    fn put_purposes(&self, document: &mut Document) {
        document.section("1. Purposes of the processing");
        for it in &self.processing {
            document.heading(Text::code(it.purpose.as_str()).and(" ").and(it.title.as_str()));
            document.list([
                format!("Sale or sharing: {}", yes(it.sale_or_share)),
                format!("Requires an opt-in: {}", yes(it.requires_opt_in)),
                format!("Suspended: {}", yes(it.suspended)),
            ]);
            let rows = it.segments.iter().map(|segment| {
                let band = segment.reads_age_band.then_some("age_band");
                vec![
                    Text::code(segment.id.as_str()).and(" ").and(segment.title.as_str()),
                    segment.why.as_str().into(),
                    segment.approach.into(),
                    Text::codes(segment.fields.iter().copied().chain(band), "none"),
                    segment.owner.as_str().into(),
                ]
            });
            let caption = format!("Segments for {}", it.purpose);
            document.table(
                caption,
                &["Segment", "Why", "Approach", "Fields", "Owner"],
                rows.collect(),
            );
        }
        document.paragraph(
            Text::from("In more than general terms: ").and_blank("why each purpose is pursued"),
        );
    }

    fn put_data(&self, document: &mut Document) {
        document.section("2. Categories of personal information");
        let rows = self.data.iter().map(|it| {
            let fields = Text::codes(it.fields.iter().copied(), "");
            vec![it.category.into(), fields, it.source.into(), it.used_for.as_str().into()]
        });
        document.table("Categories", &["Category", "Fields", "Source", "Used for"], rows.collect());
        document.list([
            Text::from("Sensitive personal information (Civ. Code 1798.140(ae); data of a person known to be under \
                        16): ").and_blank("which of these, and of whom"),
            Text::from("The least that each purpose needs: ").and_blank("why none of these can be left out"),
        ]);
    }

    fn put_operation(&self, document: &mut Document) {
        document.section("3. How it is collected, used, disclosed and kept");
        let rows = self.flows.iter().map(|it| {
            let readers =
                if it.read_by.is_empty() { "none declared".into() } else { it.read_by.join(", ") };
            vec![
                Text::code(it.topic.as_str()),
                it.holds.as_str().into(),
                it.written_by.into(),
                readers.into(),
            ]
        });
        document.table("Flows", &["Topic", "Holds", "Written by", "Read by"], rows.collect());
        let clicks = self.retention.purposes.iter().map(|it| {
            vec![
                Text::from("clicks for ").and_code(it.purpose.as_str()),
                Span(it.retention_ms).to_string().into(),
                it.source.as_str().into(),
            ]
        });
        let topics = self.retention.topics.iter().flat_map(|topic| {
            topic.kept.iter().map(|it| {
                vec![
                    Text::code(topic.topic.as_str()).and(": ").and(it.what.as_str()),
                    it.words.as_str().into(),
                    it.source.as_str().into(),
                ]
            })
        });
        document.table(
            "Retention",
            &["What", "How long", "Source"],
            clicks.chain(topics).collect(),
        );
        document.list(
            self.retention
                .disagreements
                .iter()
                .map(|it| Text::strong("Disagrees").and(": ").and(it.as_str())),
        );
        document.list([
            Text::from("How many consumers: ")
                .and_blank("number; `assent report kpi` counts those with a record"),
            Text::from("What consumers are told, and where: ").and_blank("notices"),
            Text::from("Contracts with readers: ").and_blank("names and dates"),
        ]);
    }

    fn put_children(&self, document: &mut Document) {
        document.section("4. Age bands and what a use rests on");
        let rows = self.age_bands.iter().map(|it| {
            vec![Text::code(it.age_band), it.sale_or_share.into(), it.other.into(), it.cite.into()]
        });
        let head = ["Age band", "Sale or sharing rests on", "Other use rests on", "Cite"];
        document.table("What the gate wants for each age band", &head, rows.collect());
    }

    fn put_judgments(&self, document: &mut Document) {
        document.section("5. Benefits");
        document.paragraph(Text::blank(
            "benefits to the business, the consumer, other stakeholders and the public",
        ));
        document.section("6. Negative impacts on privacy");
        document.paragraph(Text::blank(
            "impacts, their sources and causes, for children in particular",
        ));
        document.section("7. Safeguards");
        let rows = self.safeguards.iter().map(|it| vec![it.what.into(), Text::code(it.document)]);
        document.table(
            "Safeguards that the code keeps",
            &["Safeguard", "Described in"],
            rows.collect(),
        );
        document.paragraph(
            Text::from("Whether they suffice, and which others there are: ").and_blank("judgment"),
        );
        document.section("8. Decision");
        document.list([
            Text::from("Do the risks outweigh the benefits? ").and_blank("judgment"),
            Text::from("Will the processing be initiated or go on? ").and_blank("decision"),
            Text::from("Who contributed: ").and_blank("names and roles"),
            Text::from("Reviewed and approved by, on: ").and_blank("names, positions and date"),
            Text::from("Next review (every three years; within 45 days of a material change, which `assent rules \
                        diff` names): ")
                .and_blank("date"),
        ]);
    }
}

fn yes(is: bool) -> &'static str {
    if is { "yes" } else { "no" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::form::markdown;
    use crate::topic::Found;
    use assent_contract::domain::time::Timestamp;
    use assent_contract::rulebook::compile;

    #[test]
    fn what_the_rulebook_says_is_filled_in_and_what_it_cant_say_is_blank() {
        let yaml = "rulebook: \"1\"\ndefault_segment: all\npurposes:\n  - {id: zoo, title: Zoo, sale_or_share: true, \
            requires_opt_in: true, retention: 9d, readers: [{id: mail, kind: third_party, group_id: g}]}\nsegments:\n  \
            - {id: s, why: w, owner: o, approach: behavioral, purpose: zoo, when: {count: {where: {region: x}, within: \
            7d, at_least: 1}}}\n";
        let rulebook = compile(yaml.as_bytes()).unwrap();
        let topic = TopicFacts {
            name: "segments.zoo".to_owned(),
            key: "topics.segments",
            holding: Holding::Segments("zoo".to_owned()),
            found: Found::Forbidden,
            differences: Vec::new(),
        };
        let lease = Span::DAY;
        let facts = retention::Facts {
            made_at: Timestamp(0),
            rulebook: &rulebook,
            topics: &[topic],
            lease,
        };
        let report = RiskAssessment::of(&facts);
        assert_eq!(report.processing[0].segments[0].fields, ["region"]);
        assert_eq!(report.flows[0].read_by, ["mail (a third party)"]);
        let used: Vec<&str> = report.data.iter().map(|it| it.used_for.as_str()).collect();
        assert!(used.contains(&"segments s") && used.contains(&"nothing: not decoded"), "{used:?}");
        let text = markdown(&report.document());
        assert!(
            text.contains("**Disagrees**: topic segments.zoo: this user may not read its settings"),
            "{text}"
        );
        for judgment in
            ["## 5. Benefits\n\n**\\[counsel:", "Do the risks outweigh the benefits? **\\[counsel:"]
        {
            assert!(text.contains(judgment), "{judgment}");
        }
    }

    #[test]
    fn the_documents_of_the_safeguards_are_there() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        assert!(SAFEGUARDS.iter().all(|it| root.join(it.document).exists()));
    }
}
