//! What a written retention policy has to say (16 CFR 312.10): what is kept, of whom, why, for how long and how it
//! is deleted. Each number has its source beside it.
//!
//! Where the cluster keeps something for longer than the rulebook or Assent's constants say, the report says so.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::form::{Document, Report, Text};
use crate::period::moment;
use crate::topic::{Found, Holding, Retention, TopicFacts};
use assent_contract::domain::request::KEPT_FOR;
use assent_contract::domain::time::{Span, Timestamp};
use assent_contract::rulebook::{Purpose, Rulebook};

/// What the report is computed from.
pub struct Facts<'a> {
    pub made_at: Timestamp,
    pub rulebook: &'a Rulebook,
    pub topics: &'a [TopicFacts],
    /// `pipeline.lease`.
    pub lease: Span,
}

#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct RetentionPolicy {
    pub made_at: Timestamp,
    pub rulebook: String,
    pub rulebook_sha256: String,
    pub purposes: Vec<OfPurpose>,
    pub topics: Vec<OfTopic>,
    pub fixed: Vec<Kept>,
    /// What is kept otherwise than the rulebook or Assent's constants say, or is not known.
    pub disagreements: Vec<String>,
}

#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct OfPurpose {
    pub purpose: String,
    pub title: String,
    pub sale_or_share: bool,
    pub retention_ms: i64,
    pub source: String,
    pub readers: Vec<OfReader>,
    /// Of its segments: why they are made.
    pub why: Vec<String>,
}

#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct OfReader {
    pub id: String,
    pub kind: String,
    pub group_id: String,
}

#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct OfTopic {
    pub topic: String,
    pub what: String,
    pub of_whom: String,
    pub why: String,
    pub kept: Vec<Kept>,
    pub deletion: String,
    pub settings: BTreeMap<String, String>,
    pub disagreements: Vec<String>,
}

/// How long something stays, and who says so. `ms` null: without end, or not known.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct Kept {
    pub what: String,
    pub ms: Option<i64>,
    pub words: String,
    pub source: String,
}

/// The settings that say how long something is kept.
const SETTINGS: &[&str] = &[
    "cleanup.policy",
    "retention.ms",
    "retention.bytes",
    "delete.retention.ms",
    "max.compaction.lag.ms",
    "segment.ms",
];

impl RetentionPolicy {
    pub fn of(facts: &Facts<'_>) -> Self {
        let rulebook = facts.rulebook;
        let topics: Vec<OfTopic> = facts.topics.iter().map(|it| of_topic(it, facts)).collect();
        let disagreements = topics.iter().flat_map(|it| it.disagreements.iter().cloned()).collect();
        Self {
            made_at: facts.made_at,
            rulebook: rulebook.version.clone(),
            rulebook_sha256: rulebook.sha256_hex(),
            purposes: rulebook.declared().map(of_purpose).collect(),
            topics,
            fixed: fixed(facts),
            disagreements,
        }
    }
}

fn of_purpose(purpose: &Purpose) -> OfPurpose {
    let readers = purpose.readers.iter().map(|reader| OfReader {
        id: reader.id.clone(),
        kind: reader.kind.label().to_owned(),
        group_id: reader.group_id.clone(),
    });
    OfPurpose {
        purpose: purpose.id.clone(),
        title: purpose.title.clone(),
        sale_or_share: purpose.sale_or_share,
        retention_ms: purpose.retention.0,
        source: format!("rulebook: retention of purpose {}", purpose.id),
        readers: readers.collect(),
        why: purpose.segments.iter().map(|it| format!("{}: {}", it.id, it.why)).collect(),
    }
}

fn of_topic(topic: &TopicFacts, facts: &Facts<'_>) -> OfTopic {
    let name = |setting: &&str| Some(((*setting).to_owned(), topic.setting(setting)?.to_owned()));
    OfTopic {
        topic: topic.name.clone(),
        what: topic.holding.what(),
        of_whom: topic.holding.of_whom().to_owned(),
        why: topic.holding.why().to_owned(),
        kept: kept(topic),
        deletion: topic.holding.deletion().to_owned(),
        settings: SETTINGS.iter().filter_map(name).collect(),
        disagreements: disagreements(topic, facts),
    }
}

fn kept(topic: &TopicFacts) -> Vec<Kept> {
    let mut kept = Vec::new();
    match topic.retention() {
        Some(Retention::For(span)) => kept.push(Kept {
            what: "each record, by age".to_owned(),
            ..Kept::of_setting(topic, "retention.ms", span)
        }),
        Some(Retention::ForEver) => kept.push(Kept {
            what: "each record, by age".to_owned(),
            ms: None,
            words: "without end".to_owned(),
            source: source(topic, "retention.ms"),
        }),
        None => {}
    }
    if topic.is_compacted() {
        kept.push(Kept {
            what: "the last value of each key".to_owned(),
            ms: None,
            words: "until a newer value or a tombstone of its key".to_owned(),
            source: source(topic, "cleanup.policy"),
        });
        let spans = [
            (
                "what a newer value or a tombstone replaced, at most until it is compacted",
                "max.compaction.lag.ms",
            ),
            ("a tombstone, at least", "delete.retention.ms"),
        ];
        for (what, name) in spans {
            let of_span = topic.span(name).map(|span| Kept::of_setting(topic, name, span));
            let unbounded = || Kept { source: source(topic, name), ..Kept::unknown("no bound") };
            kept.push(Kept { what: what.to_owned(), ..of_span.unwrap_or_else(unbounded) });
        }
    }
    if kept.is_empty() {
        kept.push(Kept { what: "each record".to_owned(), ..Kept::unknown("not known") });
    }
    kept
}

impl Kept {
    fn of_setting(topic: &TopicFacts, name: &str, span: Span) -> Self {
        let source = source(topic, name);
        Self { what: String::new(), ms: Some(span.0), words: span.to_string(), source }
    }

    fn unknown(words: &str) -> Self {
        let (what, source) = (String::new(), "no setting was read".to_owned());
        Self { what, ms: None, words: words.to_owned(), source }
    }
}

fn source(topic: &TopicFacts, setting: &str) -> String {
    format!("{setting}={} of topic {}", topic.setting(setting).unwrap_or("unset"), topic.name)
}

/// What no rulebook and no topic sets.
fn fixed(facts: &Facts<'_>) -> Vec<Kept> {
    let longest = facts.rulebook.longest_retention;
    let of = |what: &str, span: Span, source: &str| Kept {
        what: what.to_owned(),
        ms: Some(span.0),
        words: span.to_string(),
        source: source.to_owned(),
    };
    vec![
        of(
            "an assignment that is not decided again, at most",
            facts.lease,
            "configuration: pipeline.lease",
        ),
        of(
            "a click that arrives late is used up to this age",
            longest,
            "rulebook: the longest retention of a purpose (24h where there is none)",
        ),
        of(
            "that an erasure was applied, and when",
            Span::MONTHS_24,
            "constant: 24 months, 11 CCR 7101",
        ),
        of(
            "the opt-out signal of a subject without a record",
            Span::MONTHS_24,
            "constant: 24 months, 11 CCR 7025",
        ),
        of("a request, after its last change", KEPT_FOR, "constant: 24 months, 11 CCR 7101(a)"),
    ]
}

fn disagreements(topic: &TopicFacts, facts: &Facts<'_>) -> Vec<String> {
    let name = &topic.name;
    match topic.found {
        Found::Missing => {
            return vec![format!("topic {name} does not exist, or this user may not see it")];
        }
        Found::Forbidden => {
            return vec![format!(
                "topic {name}: this user may not read its settings, so nothing is known of them"
            )];
        }
        Found::As(_) => {}
    }
    let mut found: Vec<String> =
        topic.differences.iter().map(|it| format!("topic {name}: {it}")).collect();
    found.extend(kept_too_long(topic, facts.rulebook.longest_retention));
    found
}

/// No purpose uses a click that is older than the longest retention: one that is still there has no use here.
fn kept_too_long(topic: &TopicFacts, longest: Span) -> Option<String> {
    if topic.holding != Holding::Clicks {
        return None;
    }
    let said = format!("no purpose of the rulebook uses one after {longest}");
    let name = &topic.name;
    match topic.retention()? {
        Retention::ForEver => {
            Some(format!("topic {name} keeps clicks without end (retention.ms), and {said}"))
        }
        Retention::For(span) if span > longest => Some(format!(
            "topic {name} keeps clicks for {span} (retention.ms={}), and {said}",
            span.0
        )),
        Retention::For(_) => None,
    }
}

impl Report for RetentionPolicy {
    fn document(&self) -> Document {
        let mut document = Document::titled("Data retention policy");
        self.put_opening(&mut document);
        self.put_disagreements(&mut document);
        self.put_purposes(&mut document);
        self.put_topics(&mut document);
        document.section("What Assent fixes");
        document.table("What no topic sets", &["What", "How long", "Source"], rows(&self.fixed));
        put_judgments(&mut document);
        document
    }
}

impl RetentionPolicy {
    fn put_opening(&self, document: &mut Document) {
        document.paragraph(format!(
            "Facts for the written policy that 16 CFR 312.10 asks for, as of {} UTC: from the settings of the topics \
             as the brokers have them, and from rulebook {} (SHA-256 {}). This is not legal advice.",
            moment(self.made_at),
            self.rulebook,
            self.rulebook_sha256
        ));
        document
            .paragraph(Text::from("Business and contact: ").and_blank("name, address, contact"));
        document.paragraph(
            "A time by age is a lower bound: Kafka deletes whole files of records, after the last of them is old \
             enough. Backups, mirrors and the copies of readers are not seen here.",
        );
    }

    fn put_disagreements(&self, document: &mut Document) {
        document.section("Where the facts disagree");
        if self.disagreements.is_empty() {
            document.paragraph(
                "Nowhere: no topic keeps anything otherwise than the rulebook and Assent say.",
            );
        } else {
            document.list(self.disagreements.iter());
        }
    }

    fn put_purposes(&self, document: &mut Document) {
        document.section("Purposes");
        let rows = self.purposes.iter().map(|it| {
            let readers =
                it.readers.iter().map(|reader| format!("{} ({})", reader.id, reader.kind));
            vec![
                Text::code(it.purpose.as_str()).and(" ").and(it.title.as_str()),
                Span(it.retention_ms).to_string().into(),
                it.source.as_str().into(),
                if it.sale_or_share { "yes".into() } else { "no".into() },
                Text::codes(readers, "none declared"),
                it.why.join("; ").into(),
            ]
        });
        document.table(
            "How long clicks count for each purpose, and who reads what follows",
            &[
                "Purpose",
                "Clicks count for",
                "Source",
                "Sale or sharing",
                "Readers",
                "Business need",
            ],
            rows.collect(),
        );
        document.paragraph(
            "Counters of a purpose are removed with the opt-out, and hold no click for longer than this. Readers and \
             business needs: rulebook, readers of the purpose and why of its segments.",
        );
    }

    fn put_topics(&self, document: &mut Document) {
        document.section("Topics");
        for topic in &self.topics {
            document.heading(Text::code(topic.topic.as_str()));
            document.list([
                Text::strong("Holds").and(": ").and(topic.what.as_str()),
                Text::strong("Of whom").and(": ").and(topic.of_whom.as_str()),
                Text::strong("Why").and(": ").and(topic.why.as_str()),
                Text::strong("How it is deleted").and(": ").and(topic.deletion.as_str()),
            ]);
            let caption = format!("How long {} keeps it", topic.topic);
            document.table(caption, &["What", "How long", "Source"], rows(&topic.kept));
        }
    }
}

fn put_judgments(document: &mut Document) {
    document.section("What only counsel can say");
    document.list([
        Text::from("Why each of these times is no longer than reasonably necessary: ")
            .and_blank("need for each purpose and topic"),
        Text::from("Where the policy is posted: ").and_blank("address of the notice"),
        Text::from("How long readers, processors and backups keep what they got: ")
            .and_blank("contracts and settings outside of Assent"),
        Text::from("Who approved this policy, and when: ").and_blank("name and date"),
    ]);
}

fn rows(kept: &[Kept]) -> Vec<Vec<Text>> {
    let row = |it: &Kept| {
        vec![it.what.as_str().into(), it.words.as_str().into(), it.source.as_str().into()]
    };
    kept.iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::form::{html, markdown};
    use assent_contract::rulebook::compile;

    const RULEBOOK: &str = "rulebook: \"1\"\ndefault_segment: all\npurposes:\n  - {id: zoo, title: Zoo, \
        sale_or_share: false, requires_opt_in: false, retention: 9d, readers: [{id: mail, kind: contractor, \
        group_id: g}]}\nsegments:\n  - {id: s, why: w, owner: o, approach: behavioral, purpose: zoo, when: {count: \
        {within: 7d, at_least: 1}}}\n";

    fn topic(holding: Holding, settings: &[(&str, &str)]) -> TopicFacts {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let found = Found::As(settings.iter().map(own).collect());
        TopicFacts {
            name: "t".to_owned(),
            key: "topics.t",
            holding,
            found,
            differences: Vec::new(),
        }
    }

    fn report(topics: &[TopicFacts]) -> RetentionPolicy {
        let rulebook = compile(RULEBOOK.as_bytes()).unwrap();
        let lease = Span(2 * Span::DAY.0);
        RetentionPolicy::of(&Facts { made_at: Timestamp(0), rulebook: &rulebook, topics, lease })
    }

    #[test]
    fn clicks_that_stay_longer_than_any_purpose_uses_them_disagree() {
        for (retention, disagrees) in
            [("777600000", false), ("777600001", true), ("-1", true), ("9223372036854775807", true)]
        {
            let settings = [("cleanup.policy", "delete"), ("retention.ms", retention)];
            let found = report(&[topic(Holding::Clicks, &settings)]).disagreements;
            assert_eq!(!found.is_empty(), disagrees, "{retention}: {found:?}");
            // The audit may stay: nothing of a purpose is in it.
            assert!(report(&[topic(Holding::Audit, &settings)]).disagreements.is_empty());
        }
    }

    #[test]
    fn what_is_not_known_is_said_and_is_no_agreement() {
        for found in [Found::Missing, Found::Forbidden] {
            let report = report(&[TopicFacts { found, ..topic(Holding::Clicks, &[]) }]);
            assert_eq!(report.disagreements.len(), 1);
            assert_eq!(
                (report.topics[0].kept[0].ms, report.topics[0].kept[0].words.as_str()),
                (None, "not known")
            );
        }
        let different =
            TopicFacts { differences: vec!["a=1, not 2".into()], ..topic(Holding::State, &[]) };
        assert_eq!(report(&[different]).disagreements, ["topic t: a=1, not 2"]);
    }

    #[test]
    fn each_number_has_its_source_beside_it() {
        let settings = [
            ("cleanup.policy", "compact"),
            ("delete.retention.ms", "2592000000"),
            ("max.compaction.lag.ms", "9223372036854775807"),
        ];
        let report = report(&[topic(Holding::Consent, &settings)]);
        let text = markdown(&report.document());
        assert!(
            text.contains(
                "| a tombstone, at least | 30d | delete.retention.ms=2592000000 of topic t |"
            ),
            "{text}"
        );
        assert!(
            text.contains("| no bound | max.compaction.lag.ms=9223372036854775807 of topic t |"),
            "{text}"
        );
        assert!(text.contains(
            "| `zoo` Zoo | 9d | rulebook: retention of purpose zoo | no | `mail (contractor)` |"
        ));
        assert!(
            text.contains("| 2d | configuration: pipeline.lease |")
                && text.contains("**\\[counsel: ")
        );
        assert!(html(&report.document()).contains("<mark>[counsel: "));
        assert!(report.fixed.iter().all(|it| !it.source.is_empty()));
    }
}
