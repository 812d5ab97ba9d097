//! Writes what fuzzing starts from, made from the contract's vectors, the shipped rulebooks and a
//! partition's own state: `seeds FOLDER`, a folder for each target in it.

use std::fs;
use std::path::Path;

use assent_contract::domain::consent::ConsentRecord;
use assent_contract::domain::event::{Click, EventKind};
use assent_contract::wire::{SchemaName, frame};
use assent_core::engine::input::{ClickInput, ConsentBody, ConsentInput, Coverage};
use assent_core::engine::output::Output;
use assent_fuzz::{NOW, fresh, setup};
use serde_json::Value;

const GPP: [&str; 5] = [
    "DBABLA~BVQqAAAAAgA.QA",
    "DBABBg~BVoYYZg.QA",
    "DBACLMA~BAAAAAAAAgA.QA~BAAAAABA.QA",
    "DBAA",
    "~~~",
];

/// What platforms send, as crates/intake has it for its tests.
const SAMPLES: &[(&str, usize, &[u8])] = &[
    ("onetrust", 0, include_bytes!("../../crates/intake/samples/onetrust-receipt.json")),
    ("onetrust", 1, include_bytes!("../../crates/intake/samples/onetrust-3010.json")),
    ("onetrust", 2, include_bytes!("../../crates/intake/samples/onetrust-page.json")),
    ("trustarc", 0, include_bytes!("../../crates/intake/samples/trustarc-consents.json")),
    ("trustarc", 1, include_bytes!("../../crates/intake/samples/trustarc-callback.json")),
    ("zigpoll", 0, include_bytes!("../../crates/intake/samples/zigpoll-survey.json")),
    ("ketch", 0, include_bytes!("../../crates/intake/samples/ketch-consent.json")),
];

fn main() {
    let folder = std::env::args().nth(1).expect("a folder");
    let folder = Path::new(&folder);
    let vectors: Value =
        serde_json::from_str(include_str!("../../tests/vectors/vectors.json")).expect("JSON");
    for (at, case) in list(&vectors["records"]["cases"]).iter().enumerate() {
        let value = unhex(&case["hex"]);
        match case["schema"].as_str() {
            Some("click_event") => {
                let id =
                    case["json"]["subject_id"].as_str().or(case["json"]["session_id"].as_str());
                put(folder, "click", at, &keyed(id.expect("an id"), &value));
            }
            Some("consent_record") => {
                let id = case["json"]["subject_id"].as_str().expect("an id");
                put(folder, "consent", at, &keyed(id, &value));
            }
            _ => put(folder, "audit", 100 + at, &value),
        }
        put_schema(folder, at, case["schema"].as_str().expect("a name"), &value);
    }
    for (at, batch) in list(&vectors["audit_chain"]["batches"]).iter().enumerate() {
        let body = unhex(&batch["body_hex"]);
        put(folder, "audit", at, &body);
        put(folder, "audit", 200 + at, &frame(SchemaName::AuditBatch, &body));
    }
    for (at, text) in GPP.iter().enumerate() {
        put(folder, "gpp", at, text.as_bytes());
    }
    for (at, tail) in ["heartbeat_0", "heartbeat_11", "canary"].iter().enumerate() {
        put(folder, "heartbeat", at, tail.as_bytes());
    }
    put(folder, "rulebook", 0, include_bytes!("../../rules/children-retail.yaml"));
    put(folder, "rulebook", 1, include_bytes!("../../examples/ecom/rulebook.yaml"));
    put(folder, "rulebook", 2, include_bytes!("../../crates/core/benches/rules.yaml"));
    put(folder, "state", 0, &state(&vectors));
    for (target, number, bytes) in SAMPLES {
        put(folder, target, *number, bytes);
    }
}

/// A schema of the contract on one line, and a datum of it.
fn put_schema(folder: &Path, at: usize, name: &str, value: &[u8]) {
    let is_it = |schema: &SchemaName| schema.json().contains(&format!("\"{}\"", camel(name)));
    let schema = SchemaName::ALL.into_iter().find(is_it).expect("a schema of the contract");
    let text: Value = serde_json::from_str(schema.json()).expect("JSON");
    put(folder, "schema", at, &[text.to_string().as_bytes(), b"\n", &value[10..]].concat());
}

fn camel(name: &str) -> String {
    let word = |word: &str| format!("{}{}", word[..1].to_uppercase(), &word[1..]);
    name.split('_').map(word).collect()
}

/// All that a partition wrote which decided the vectors' consent record and some clicks.
fn state(vectors: &Value) -> Vec<u8> {
    let record =
        list(&vectors["records"]["cases"]).iter().find(|c| c["schema"] == "consent_record");
    let record: ConsentRecord =
        serde_json::from_value(record.expect("one")["json"].clone()).expect("a record");
    let mut batch = fresh(&setup()).begin(NOW, true);
    batch.consent(&ConsentInput {
        offset: 0,
        append_time: NOW,
        key: record.subject_id.as_bytes(),
        payload: None,
        body: ConsentBody::Record(&record),
    });
    batch.timers();
    for offset in 0..6 {
        let click = Click {
            subject_id: Some(&record.subject_id),
            session_id: "s",
            occurred_at: NOW,
            kind: EventKind::ProductView,
            category: Some("preschool-toys"),
            gpc: Some(false),
            ..Click::default()
        };
        batch.click(&ClickInput { offset, payload: None, click: Ok(click) });
    }
    let (_, output) =
        batch.finish(Coverage { click_to: 6, consent_to: 1, barrier: 1, synced: None });
    let mut bytes = Vec::new();
    for output in &output.outputs {
        let Output::State { key, value: Some(value) } = output else { continue };
        let kind = match key.first() {
            Some(b'm') => 0,
            Some(b'd') => 1,
            Some(b'b') => 2,
            _ => 3,
        };
        bytes.push(kind);
        bytes.extend(u16::try_from(value.len()).expect("short").to_be_bytes());
        bytes.extend(value);
    }
    bytes
}

fn keyed(key: &str, value: &[u8]) -> Vec<u8> {
    let length = u8::try_from(key.len()).expect("a short key");
    [&[length], key.as_bytes(), value].concat()
}

fn put(folder: &Path, target: &str, number: usize, bytes: &[u8]) {
    let folder = folder.join(target);
    fs::create_dir_all(&folder).expect("a folder");
    fs::write(folder.join(format!("seed-{number}")), bytes).expect("written");
}

fn list(value: &Value) -> &[Value] {
    value.as_array().expect("a list")
}

fn unhex(text: &Value) -> Vec<u8> {
    let text = text.as_str().expect("hex").as_bytes();
    let digit = |digit: u8| char::from(digit).to_digit(16).expect("hex") as u8;
    text.chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}
