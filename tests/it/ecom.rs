//! A public clickstream that nobody here wrote, through the whole program, held against the reference
//! model: every audit entry, every record of the segment topics byte for byte, every live key.
//!
//! The model is told, partition by partition, what each audit batch says that it covers, at the
//! batch's own clock (INV-10). Inputs come from the files of examples/ecom, not from the topics:
//! so the replay is held to its order and its shift, too. Left out where PyPI can't be reached.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use assent::domain::consent::ConsentRecord;
use assent::domain::event::{Click, ClickEvent};
use assent::domain::intake::ConsentBody;
use assent::domain::outcome::{InputKind, Outcome};
use assent::domain::partitioner::Partitioner;
use assent::domain::rules::{Rulebook, compile};
use assent::domain::time::{Span, Timestamp};
use assent::engine::input::{ClickInput, ConsentInput};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::audit::{self, bytes, hex};
use crate::model::{Assigned, Entry, Model};
use crate::support::{self, Finished, LeftOut, Plan, Service, Shop, pseudonym, wait_until};

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/ecom");
const DECIDED_WITHIN: Duration = Duration::from_mins(2);
/// `fetch.py` could not reach PyPI.
const NOT_REACHABLE: i32 = 69;
const LEASE: Span = Span(48 * 3_600_000);
/// Bytes before an Avro body.
const HEADER: usize = 10;

#[test]
fn a_public_clickstream_is_decided_as_the_model_says() {
    let kafka = kafka_or_skip!();
    let text = std::fs::read_to_string(format!("{EXAMPLE}/rulebook.yaml")).expect("a rulebook");
    let rulebook = compile(text.as_bytes()).expect("a sound rulebook");
    let shop = Shop::open_with(kafka, &Plan { rulebook: Some(text), ..Plan::default() });
    if let Err(why) = fetch(shop.folder()) {
        return support::leave_out(&why);
    }
    let replay = ["--json", "replay", "consent.jsonl", "clicks.jsonl", "--shift-to", "now"];
    let shifted_ms = shop.run(&replay).ok().json()["shifted_ms"].as_i64().expect("shifted_ms");
    let inputs = Inputs::read(&shop, shifted_ms);

    let service = Service::start(&shop, "a");
    wait_until(DECIDED_WITHIN, "everything decided", || {
        let decided = service.metrics().count("assent_outcomes_total", &[]);
        (decided == inputs.count()).then_some(())
    });
    service.stop();

    let mut told = Told::default();
    for (partition, batches) in audit::batches(&shop) {
        told.hold(&rulebook, &inputs, partition, &batches);
    }
    assert_eq!(told.entries, inputs.count(), "every input has its entry");
    told.assert_written(&shop, &rulebook);
    told.assert_listed(&shop);
    told.assert_telling();
}

/// Runs the example's script; its two files are then in `folder`.
fn fetch(folder: &Path) -> Result<(), LeftOut> {
    let script = format!("{EXAMPLE}/fetch.py");
    let fetched = Finished::of(Command::new("python3").arg(script).arg(folder));
    if fetched.code == Some(NOT_REACHABLE) {
        return Err(LeftOut::because(fetched.stderr.trim()));
    }
    fetched.ok();
    Ok(())
}

/// By partition, in the order of the offsets, which begin at 0.
struct Inputs {
    clicks: BTreeMap<i32, Vec<ClickEvent>>,
    consents: BTreeMap<i32, Vec<(ConsentRecord, Timestamp)>>,
}

impl Inputs {
    fn read(shop: &Shop<'_>, shifted_ms: i64) -> Self {
        let by = Span(shifted_ms);
        let mut inputs = Self { clicks: BTreeMap::new(), consents: BTreeMap::new() };
        for mut click in lines::<ClickEvent>(shop, "clicks.jsonl") {
            click.occurred_at = click.occurred_at + by;
            let partition = Partitioner::Murmur2.partition(click.key().as_bytes(), shop.partitions);
            inputs.clicks.entry(partition).or_default().push(click);
        }
        let mut appended: BTreeMap<i32, Vec<Timestamp>> = BTreeMap::new();
        for record in shop.committed("consent-changelog") {
            appended.entry(record.partition).or_default().push(Timestamp(record.timestamp));
        }
        for mut record in lines::<ConsentRecord>(shop, "consent.jsonl") {
            shift(&mut record, by);
            let key = record.subject_id.as_bytes();
            let partition = Partitioner::Murmur2.partition(key, shop.partitions);
            let here = inputs.consents.entry(partition).or_default();
            let append_time = appended[&partition][here.len()];
            here.push((record, append_time));
        }
        inputs
    }

    fn count(&self) -> u64 {
        let clicks: usize = self.clicks.values().map(Vec::len).sum();
        let consents: usize = self.consents.values().map(Vec::len).sum();
        (clicks + consents) as u64
    }

    fn clicks(&self, partition: i32, from: i64, to: i64) -> Vec<ClickInput<'_>> {
        let input = |offset: i64| {
            let event = &self.clicks[&partition][offset as usize];
            ClickInput { offset, payload: None, click: Ok(click(event)) }
        };
        (from..to).map(input).collect()
    }

    fn consents(&self, partition: i32, from: i64, to: i64) -> Vec<ConsentInput<'_>> {
        let input = |offset: i64| {
            let (record, append_time) = &self.consents[&partition][offset as usize];
            let (key, body) = (record.subject_id.as_bytes(), ConsentBody::Record(record));
            ConsentInput { offset, append_time: *append_time, key, payload: None, body }
        };
        (from..to).map(input).collect()
    }
}

fn lines<T: serde::de::DeserializeOwned>(shop: &Shop<'_>, file: &str) -> Vec<T> {
    let text = std::fs::read_to_string(shop.folder().join(file)).expect("a file of the example");
    text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

fn shift(record: &mut ConsentRecord, by: Span) {
    let decisions = record.decisions.values_mut();
    let ends = decisions.flat_map(|it| [Some(&mut it.since), it.expires_at.as_mut()]).flatten();
    let guardian = record.guardian.iter_mut().map(|it| &mut it.verified_at);
    let optional = [&mut record.double_opt_in_at, &mut record.opt_out_signal_at];
    let optional = optional.into_iter().filter_map(Option::as_mut);
    for time in ends.chain(guardian).chain(optional).chain([&mut record.recorded_at]) {
        *time = *time + by;
    }
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
        opt_out_signal: event.gpc == Some(true),
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
struct Told {
    entries: u64,
    verdicts: BTreeMap<String, usize>,
    outcomes: BTreeMap<String, usize>,
    assigned: BTreeMap<String, Written>,
    contextual: Vec<(String, Vec<u8>)>,
    /// By purpose and pseudonym, as `segments list` shows it.
    live: BTreeMap<(String, String), Value>,
}

impl Told {
    /// One partition's audit against a model of its own.
    fn hold(&mut self, rulebook: &Rulebook, inputs: &Inputs, partition: i32, batches: &[Value]) {
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
        for (record, _) in inputs.consents.get(&partition).into_iter().flatten() {
            for (at, purpose) in rulebook.purposes.iter().enumerate() {
                if let Some(live) = model.live(&record.subject_id, at) {
                    let json = assignment(rulebook, at, &record.subject_id, live);
                    let key = pseudonym(&purpose.id, &record.subject_id);
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
                Err((reason, _)) => Err(reason.label().to_owned()),
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
    fn assert_written(&self, shop: &Shop<'_>, rulebook: &Rulebook) {
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

    fn assert_listed(&self, shop: &Shop<'_>) {
        let listed = shop.run(&["segments", "list", "--json"]).ok().json_lines();
        let text = |json: &Value, field: &str| json[field].as_str().expect("text").to_owned();
        let key = |json: &Value| (text(json, "purpose"), text(json, "pseudonym"));
        let listed: BTreeMap<_, _> = listed.into_iter().map(|json| (key(&json), json)).collect();
        assert_eq!(listed, self.live);
    }

    /// The data reaches what it is chosen for.
    fn assert_telling(&self) {
        let verdicts = [
            "OPT_IN",
            "GUARDIAN_OPT_IN",
            "NO_CONSENT_RECORD",
            "OPTED_OUT",
            "OPT_OUT_SIGNAL",
            "GUARDIAN_CONSENT_MISSING",
            "OWN_OPT_IN_MISSING",
            "CONSENT_EXPIRED",
        ];
        for verdict in verdicts {
            assert!(self.verdicts.contains_key(verdict), "{verdict} in {:?}", self.verdicts);
        }
        for outcome in [Outcome::Decided, Outcome::TooLate, Outcome::Applied] {
            assert!(self.outcomes.contains_key(outcome.symbol()), "{:?}", self.outcomes);
        }
        assert!(self.live.len() > 100, "{} live keys", self.live.len());
    }
}

/// A SegmentAssignment.
fn assignment(rulebook: &Rulebook, at: usize, subject: &str, assigned: &Assigned) -> Value {
    let purpose = &rulebook.purposes[at].id;
    json!({
        "pseudonym": pseudonym(purpose, subject), "purpose": purpose,
        "segments": assigned.segments, "basis": assigned.basis.symbol(),
        "consent_version": assigned.consent_version, "decided_at": assigned.decided_at.0,
        "expires_at": assigned.expires_at.0, "rulebook": rulebook.version,
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

/// Timers between consent and clicks by subject, effects by purpose: the design leaves both open.
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
