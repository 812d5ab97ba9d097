//! What the topics hold, against the reference model: every audit entry, every record of the segment
//! topics byte for byte, every live key.
//!
//! The model is told, partition by partition, what each audit batch says that it covers, at the
//! batch's own clock (INV-10).

use std::collections::BTreeMap;

use assent_contract::domain::consent::ConsentRecord;
use assent_contract::domain::event::{Click, ClickEvent, SignalSource};
use assent_contract::domain::intake::ConsentBody;
use assent_contract::domain::outcome::InputKind;
use assent_contract::domain::time::{Span, Timestamp};
use assent_contract::rulebook::{Rulebook, compile};
use assent_core::engine::input::{ClickInput, ConsentInput};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::audit::{self, bytes, hex};
use crate::model::{Assigned, Entry, Model};
use crate::support::{self, Shop, pseudonym};

const LEASE: Span = Span(48 * 3_600_000);
/// Bytes before an Avro body.
const HEADER: usize = 10;

/// Everything of a shop whose inputs came from the test, once nothing flows any more.
pub fn hold(shop: &Shop<'_>, rulebook: &str, inputs: &Inputs) -> Told {
    let rulebook = compile(rulebook.as_bytes()).expect("a sound rulebook");
    let mut told = Told::default();
    for (partition, batches) in audit::batches(shop) {
        told.hold(&rulebook, inputs, partition, &batches);
    }
    assert_eq!(told.entries, inputs.count(), "every input has its entry");
    told.assert_written(shop, &rulebook);
    told.assert_listed(shop);
    told
}

/// What went in, by partition and offset.
#[derive(Default)]
pub struct Inputs {
    pub clicks: BTreeMap<i32, BTreeMap<i64, ClickEvent>>,
    pub consents: BTreeMap<i32, BTreeMap<i64, Said>>,
}

/// A record of consent-changelog; a null value is an erasure.
pub struct Said {
    pub subject_id: String,
    pub record: Option<ConsentRecord>,
    pub append_time: Timestamp,
}

impl Inputs {
    /// As the topics have them: readable records on their right partitions.
    pub fn of(shop: &Shop<'_>) -> Self {
        let mut inputs = Self::default();
        for record in shop.committed("clickstream") {
            let click = read("click_event", record.value.as_deref().expect("a click"));
            inputs.clicks.entry(record.partition).or_default().insert(record.offset, click);
        }
        for record in shop.committed("consent-changelog") {
            let said = Said {
                subject_id: record.key_text().to_owned(),
                record: record.value.as_deref().map(|value| read("consent_record", value)),
                append_time: Timestamp(record.timestamp),
            };
            inputs.consents.entry(record.partition).or_default().insert(record.offset, said);
        }
        inputs
    }

    pub fn count(&self) -> u64 {
        let clicks: usize = self.clicks.values().map(BTreeMap::len).sum();
        (clicks + self.consents_count()) as u64
    }

    pub fn consents_count(&self) -> usize {
        self.consents.values().map(BTreeMap::len).sum()
    }

    /// With what the topics still had later.
    pub fn then(mut self, later: Self) -> Self {
        for (partition, clicks) in later.clicks {
            self.clicks.entry(partition).or_default().extend(clicks);
        }
        for (partition, consents) in later.consents {
            self.consents.entry(partition).or_default().extend(consents);
        }
        self
    }

    fn clicks(&self, partition: i32, from: i64, to: i64) -> Vec<ClickInput<'_>> {
        let here = self.clicks.get(&partition).into_iter().flat_map(|it| it.range(from..to));
        let input =
            |(&offset, event)| ClickInput { offset, payload: None, click: Ok(click(event)) };
        here.map(input).collect()
    }

    fn consents(&self, partition: i32, from: i64, to: i64) -> Vec<ConsentInput<'_>> {
        let here = self.consents.get(&partition).into_iter().flat_map(|it| it.range(from..to));
        here.map(|(&offset, said)| said.input(offset)).collect()
    }
}

impl Said {
    fn input(&self, offset: i64) -> ConsentInput<'_> {
        let body = self.record.as_ref().map_or(ConsentBody::Erasure, ConsentBody::Record);
        let (append_time, key) = (self.append_time, self.subject_id.as_bytes());
        ConsentInput { offset, append_time, key, payload: None, body }
    }
}

fn read<T: serde::de::DeserializeOwned>(schema: &str, value: &[u8]) -> T {
    serde_json::from_value(support::decode(schema, value)).expect("fields as the schema has them")
}

fn click(event: &ClickEvent) -> Click<'_> {
    assert_eq!(event.gpp, None, "this data has no GPP strings");
    Click {
        subject_id: event.subject_id.as_deref(),
        session_id: &event.session_id,
        occurred_at: event.occurred_at,
        kind: event.kind,
        category: event.category.as_deref(),
        product_id: event.product_id.as_deref(),
        product_age_range: event.product_age_range.as_deref(),
        value_cents: event.value_cents,
        region: event.region.as_deref(),
        gpc: event.gpc,
        opt_out_signal: event.gpc.filter(|gpc| *gpc).map(|_| SignalSource::Gpc),
    }
}

/// An audit entry, in words that both sides have: tokens and hashes in hex.
#[derive(Debug, PartialEq)]
struct Line {
    input: String,
    offset: Option<i64>,
    outcome: String,
    subject: Option<String>,
    consent_version: Option<i64>,
    verdicts: Vec<String>,
    /// The purpose's place; hash or reason.
    effects: Vec<(i64, Option<String>, Option<String>)>,
}

/// A key's records in their order: the value, or why there is none.
type Written = BTreeMap<String, Vec<Result<Vec<u8>, String>>>;

/// What the model said of all partitions.
#[derive(Default)]
pub struct Told {
    pub entries: u64,
    pub verdicts: BTreeMap<String, usize>,
    pub outcomes: BTreeMap<String, usize>,
    assigned: BTreeMap<String, Written>,
    contextual: Vec<(String, Vec<u8>)>,
    /// By purpose and pseudonym, as `segments list` shows it.
    pub live: BTreeMap<(String, String), Value>,
}

impl Told {
    /// One partition's audit against a model of its own.
    pub fn hold(
        &mut self,
        rulebook: &Rulebook,
        inputs: &Inputs,
        partition: i32,
        batches: &[Value],
    ) {
        let mut model = Model::new(rulebook, LEASE);
        for batch in batches {
            let number = |field: &str| batch[field].as_i64().expect("a number");
            let now = (Timestamp(number("decided_at")), batch["gate_open"] == true);
            let consents = inputs.consents(partition, number("consent_from"), number("consent_to"));
            let clicks = inputs.clicks(partition, number("click_from"), number("click_to"));
            let entries = model.step(now, &consents, &clicks);
            let expected: Vec<Line> = entries.iter().map(|it| self.line(rulebook, it)).collect();
            assert_lines(partition, number("sequence"), in_order(expected), seen(batch));
            self.take_contextual(rulebook, &entries, &clicks);
        }
        for said in inputs.consents.get(&partition).into_iter().flat_map(BTreeMap::values) {
            for (at, purpose) in rulebook.purposes.iter().enumerate() {
                if let Some(live) = model.live(&said.subject_id, at) {
                    let json = assignment(rulebook, at, &said.subject_id, live);
                    let key = pseudonym(&purpose.id, &said.subject_id);
                    self.live.insert((purpose.id.clone(), key), json);
                }
            }
        }
    }

    fn line(&mut self, rulebook: &Rulebook, entry: &Entry) -> Line {
        self.entries += u64::from(entry.input != InputKind::Timer);
        *self.outcomes.entry(entry.outcome.symbol().to_owned()).or_default() += 1;
        for verdict in &entry.verdicts {
            *self.verdicts.entry(verdict.symbol().to_owned()).or_default() += 1;
        }
        let subject = entry.subject.as_deref();
        let mut effects = Vec::new();
        for (at, change) in &entry.effects {
            let (subject, purpose) = (subject.expect("effects have one"), &rulebook.purposes[*at]);
            let record = match change {
                Ok(assigned) => {
                    let json = assignment(rulebook, *at, subject, assigned);
                    Ok(support::encode("segment_assignment", &json))
                }
                Err(reason) => Err(reason.label().to_owned()),
            };
            let hash = record.as_ref().ok().map(|value| hex(&Sha256::digest(&value[HEADER..])));
            effects.push((*at as i64, hash, record.as_ref().err().cloned()));
            let topic = self.assigned.entry(purpose.id.clone()).or_default();
            topic.entry(pseudonym(&purpose.id, subject)).or_default().push(record);
        }
        Line {
            input: entry.input.symbol().to_owned(),
            offset: entry.offset,
            outcome: entry.outcome.symbol().to_owned(),
            subject: subject.map(|id| hex(&support::pseudonym_bytes("audit", id))),
            consent_version: entry.consent_version,
            verdicts: entry.verdicts.iter().map(|it| it.symbol().to_owned()).collect(),
            effects,
        }
    }

    fn take_contextual(&mut self, rulebook: &Rulebook, of: &[Entry], clicks: &[ClickInput<'_>]) {
        for entry in of.iter().filter(|entry| !entry.contextual.is_empty()) {
            let at = clicks.iter().position(|click| Some(click.offset) == entry.offset);
            let click = clicks[at.expect("a click")].click.as_ref().expect("a decided one");
            let occurred_at = click.occurred_at.0;
            let token = support::session_token(click.session_id, occurred_at);
            let json = json!({"session_token": token, "segments": entry.contextual,
                "occurred_at": occurred_at, "rulebook": rulebook.version});
            self.contextual.push((token, support::encode("contextual_segment", &json)));
        }
    }

    /// The topics hold what the model wrote, and nothing else.
    pub fn assert_written(&self, shop: &Shop<'_>, rulebook: &Rulebook) {
        for purpose in &rulebook.purposes {
            let mut written = Written::new();
            for record in shop.committed(&format!("segments.{}", purpose.id)) {
                let removed = record.header("reason").map(str::to_owned);
                let key = record.key_text().to_owned();
                let value = record.value.ok_or_else(|| removed.expect("a reason"));
                written.entry(key).or_default().push(value);
            }
            let expected = self.assigned.get(&purpose.id).cloned().unwrap_or_default();
            assert!(written == expected, "segments.{} is not what the model wrote", purpose.id);
        }
        let records = shop.committed("contextual-segments").into_iter();
        let keyed = records.map(|it| (it.key_text().to_owned(), it.value.expect("a value")));
        let (mut written, mut expected): (Vec<_>, _) = (keyed.collect(), self.contextual.clone());
        written.sort();
        expected.sort();
        assert_eq!(written.len(), expected.len(), "contextual segments");
        assert!(written == expected, "contextual-segments is not what the model wrote");
    }

    pub fn assert_listed(&self, shop: &Shop<'_>) {
        let listed = shop.run(&["segments", "list", "--json"]).ok().json_lines();
        let text = |json: &Value, field: &str| json[field].as_str().expect("text").to_owned();
        let key = |json: &Value| (text(json, "purpose"), text(json, "pseudonym"));
        let listed: BTreeMap<_, _> = listed.into_iter().map(|json| (key(&json), json)).collect();
        assert_eq!(listed, self.live);
    }
}

/// A SegmentAssignment.
fn assignment(rulebook: &Rulebook, at: usize, subject: &str, assigned: &Assigned) -> Value {
    let purpose = &rulebook.purposes[at].id;
    json!({
        "pseudonym": pseudonym(purpose, subject), "purpose": purpose,
        "segments": assigned.segments, "basis": assigned.basis.symbol(),
        "decided_at": assigned.decided_at.0, "expires_at": assigned.expires_at.0,
        "rulebook": rulebook.version,
    })
}

fn seen(batch: &Value) -> Vec<Line> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let array = |value: &Value| value.as_array().expect("an array").clone();
    let in_hex = |value: &Value| (!value.is_null()).then(|| hex(&bytes(value)));
    let effect = |effect: &Value| {
        let at = effect["purpose"].as_i64().expect("an index");
        (at, in_hex(&effect["value_sha256"]), text(&effect["reason"]))
    };
    let line = |entry: &Value| Line {
        input: text(&entry["input"]).expect("a symbol"),
        offset: entry["offset"].as_i64(),
        outcome: text(&entry["outcome"]).expect("a symbol"),
        subject: in_hex(&entry["subject"]),
        consent_version: entry["consent_version"].as_i64(),
        verdicts: array(&entry["verdicts"]).iter().filter_map(text).collect(),
        effects: array(&entry["effects"]).iter().map(effect).collect(),
    };
    in_order(array(&batch["entries"]).iter().map(line).collect())
}

/// Timers between consent and clicks by subject, effects by purpose: the contract leaves both open.
fn in_order(mut lines: Vec<Line>) -> Vec<Line> {
    for line in &mut lines {
        line.effects.sort_by_key(|effect| effect.0);
    }
    for run in lines.chunk_by_mut(|one, other| one.input == "TIMER" && other.input == "TIMER") {
        run.sort_by(|one, other| one.subject.cmp(&other.subject));
    }
    lines
}

fn assert_lines(partition: i32, sequence: i64, expected: Vec<Line>, seen: Vec<Line>) {
    let place = format!("partition {partition}, audit batch {sequence}");
    assert_eq!(seen.len(), expected.len(), "{place}: entries");
    for (at, (seen, expected)) in seen.into_iter().zip(expected).enumerate() {
        assert_eq!(seen, expected, "{place}, entry {at}: the audit is left, the model right");
    }
}
