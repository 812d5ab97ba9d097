//! Data in and read back: replay, generate, consent and segments on a real Kafka.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Finished, Record, Service, Shop, decode, now_ms, wait_until};

const SUBJECT: &str = "family-000042";
const OFFERS: &str = "personalized-offers";
const WITHIN: Duration = Duration::from_secs(30);

#[test]
fn consent_is_put_shown_withdrawn_and_erased() {
    let kafka = kafka_or_skip!();
    let shop = Shop::open(kafka);
    assert_eq!(shop.run(&["consent", "show", SUBJECT]).code, Some(1));

    let put = shop
        .run(&[
            "consent",
            "put",
            SUBJECT,
            "--age-band",
            "from-18",
            "--purpose",
            "personalized-offers=granted",
            "--since",
            "2026-01-01T00:00:00Z",
            "--json",
        ])
        .ok()
        .json();
    assert_eq!(put["version"], 1);
    let shown = shop.run(&["consent", "show", SUBJECT, "--json"]).ok().json();
    assert_eq!(shown["age_band"], "FROM_18");
    assert_eq!(shown["decisions"][OFFERS]["status"], "GRANTED");
    assert_eq!(shown["decisions"][OFFERS]["since"], 1_767_225_600_000_i64);

    let unknown = shop.run(&["consent", "withdraw", SUBJECT, "--purpose", "ofers"]);
    assert_eq!(unknown.code, Some(64), "{unknown:?}");
    assert!(!unknown.stderr.contains(SUBJECT), "{unknown:?}");
    let withdrawn = shop.run(&["consent", "withdraw", SUBJECT, "--json"]).ok().json();
    assert_eq!(withdrawn["version"], 2);
    let shown = shop.run(&["consent", "show", SUBJECT, "--json"]).ok().json();
    for purpose in [OFFERS, "partner-advertising"] {
        assert_eq!(shown["decisions"][purpose]["status"], "WITHDRAWN");
    }

    let erased = shop.run(&["consent", "erase", SUBJECT, "--json"]).ok().json();
    assert_eq!(erased["partition"], put["partition"]);
    let gone = shop.run(&["consent", "show", SUBJECT, "--json"]);
    assert_eq!((gone.code, gone.stdout.trim()), (Some(1), "null"));
    let values: Vec<bool> =
        shop.committed("consent-changelog").iter().map(|record| record.value.is_some()).collect();
    assert_eq!(values, [true, true, false]);
}

#[test]
fn a_record_from_a_file_is_the_whole_record() {
    let kafka = kafka_or_skip!();
    let shop = Shop::open(kafka);
    let mut record = consent(SUBJECT, 7, 1_000);
    let file = write(&shop, "record.json", &format!("{record:#}"));
    let file = file.to_str().unwrap();
    shop.run(&["consent", "put", SUBJECT, "--json-file", file]).ok();
    let shown = shop.run(&["consent", "show", SUBJECT, "--json"]).ok().json();
    assert_eq!((&shown["version"], &shown["recorded_at"]), (&json!(7), &json!(1_000)));

    record["subject_id"] = json!("family-000043");
    std::fs::write(file, record.to_string()).unwrap();
    let other = shop.run(&["consent", "put", SUBJECT, "--json-file", file]);
    assert_eq!(other.code, Some(65), "{other:?}");
    assert!(!other.stderr.contains("family"), "{other:?}");
}

#[test]
fn a_faulty_line_is_named_and_nothing_is_sent() {
    let kafka = kafka_or_skip!();
    let shop = Shop::open(kafka);
    let good = click("session-secret", 5).to_string();
    let bad = good.replace("PRODUCT_VIEW", "STARE");
    let file = write(&shop, "clicks.jsonl", &format!("{good}\n{bad}\n"));
    let refused = shop.run(&["replay", file.to_str().unwrap()]);
    assert_eq!(refused.code, Some(65), "{refused:?}");
    assert!(refused.stderr.contains("clicks.jsonl:2: kind must be one of"), "{refused:?}");
    assert!(!refused.stderr.contains("secret"), "{refused:?}");
    assert_eq!(refused.stderr.lines().count(), 1, "{refused:?}");
    assert!(shop.committed("clickstream").is_empty());
}

#[test]
fn a_replay_shifts_all_files_by_one_amount_and_sends_consent_first() {
    let kafka = kafka_or_skip!();
    let shop = Shop::open(kafka);
    let clicks = write(
        &shop,
        "clicks.jsonl",
        &json_lines((0..10).map(|i| click(&format!("s{i}"), 10_000 + i))),
    );
    let records = write(&shop, "consent.jsonl", &format!("{}\n", consent(SUBJECT, 1, 4_000)));
    let files = [clicks.to_str().unwrap(), records.to_str().unwrap()];
    let before = now_ms();
    let result =
        shop.run(&["replay", files[0], files[1], "--shift-to", "now", "--json"]).ok().json();
    assert_eq!((&result["clicks"], &result["consent"]), (&json!(10), &json!(1)));
    let shifted = result["shifted_ms"].as_i64().unwrap();

    let sent = shop.committed("clickstream");
    let times: Vec<i64> = sent
        .iter()
        .map(|record| value("click_event", record)["occurred_at"].as_i64().unwrap())
        .collect();
    let newest = *times.iter().max().unwrap();
    assert!((before..=now_ms()).contains(&newest), "{newest}");
    assert_eq!(newest, 10_009 + shifted);
    let record = value("consent_record", &shop.committed("consent-changelog")[0]);
    assert_eq!(record["recorded_at"].as_i64(), Some(4_000 + shifted));
    assert_eq!(record["decisions"][OFFERS]["since"].as_i64(), Some(4_000 + shifted));
    let keys: Vec<_> = sent.iter().map(Record::key_text).collect();
    assert!(keys.iter().all(|key| key.starts_with('s')), "{keys:?}");
    assert_eq!(shop.run(&["check", "--json"]).ok().json()["ok"], true);
}

#[test]
fn a_seed_decides_what_is_generated() {
    let kafka = kafka_or_skip!();
    let generated = |seed: &str| {
        let shop = Shop::open(kafka);
        let arguments = ["generate", "--clicks", "300", "--subjects", "50", "--seed", seed];
        shop.run(&arguments).ok();
        let consent = shop.committed("consent-changelog").len();
        let mut clicks: Vec<String> = shop
            .committed("clickstream")
            .iter()
            .map(|record| {
                let mut click = value("click_event", record);
                click.as_object_mut().unwrap().remove("occurred_at");
                click.to_string()
            })
            .collect();
        clicks.sort_unstable();
        (consent, clicks)
    };
    let (first, second, other) = (generated("5"), generated("5"), generated("6"));
    assert_eq!((first.0, first.1.len()), (50, 300));
    assert_eq!(first, second);
    assert_ne!(first.1, other.1);
}

#[test]
fn segments_are_listed_got_and_gone_after_a_withdrawal() {
    let kafka = kafka_or_skip!();
    let shop = Shop::open(kafka);
    let service = Service::start(&shop, "a");
    service.await_ready();
    shop.run(&[
        "consent",
        "put",
        SUBJECT,
        "--age-band",
        "UNDER_13",
        "--purpose",
        "personalized-offers=granted",
        "--guardian-verified-at",
        "now",
        "--coppa-consent",
    ])
    .ok();
    let views = (0..3).map(|i| {
        let mut click = click(&format!("s{i}"), now_ms());
        click["subject_id"] = json!(SUBJECT);
        click
    });
    let file = write(&shop, "clicks.jsonl", &json_lines(views));
    shop.run(&["replay", file.to_str().unwrap()]).ok();

    let get = ["segments", "get", "--subject", SUBJECT, "--purpose", OFFERS, "--json"];
    let got = wait_until(WITHIN, "an assignment", || {
        let got = shop.run(&get);
        (got.code == Some(0)).then(|| got.json())
    });
    assert_eq!(got["segments"], json!(["preschool-explorers"]));
    assert_eq!(got["basis"], "GUARDIAN_OPT_IN");
    let pseudonym = got["pseudonym"].as_str().unwrap();
    let by_pseudonym =
        shop.run(&["segments", "get", pseudonym, "--purpose", OFFERS, "--json"]).ok().json();
    assert_eq!(by_pseudonym, got);
    assert_eq!(list(&shop, &[]), std::slice::from_ref(&got));
    assert_eq!(list(&shop, &["--segment", "preschool-explorers"]), std::slice::from_ref(&got));
    assert!(list(&shop, &["--segment", "cart-waiting"]).is_empty());
    let others = shop.run(&["segments", "list", "--segment", "cart-waiting"]).ok();
    assert!(others.stderr.contains("no live assignment has this segment; "), "{others:?}");
    let verified = shop.run(&["verify"]).ok().stdout;
    let last = verified.lines().last().expect("a line");
    assert!(last.starts_with("verdict  no violations found in "), "{verified}");
    assert!(list(&shop, &["--limit", "0"]).is_empty());

    shop.run(&["consent", "withdraw", SUBJECT]).ok();
    let gone = wait_until(WITHIN, "the tombstone", || {
        let gone = shop.run(&get);
        (gone.code == Some(1)).then_some(gone)
    });
    assert_eq!(gone.stdout.trim(), "null");
    assert!(!gone.stderr.contains(SUBJECT), "{gone:?}");
    assert!(list(&shop, &[]).is_empty());
    service.stop();
}

#[test]
fn what_is_not_there_is_named() {
    let kafka = kafka_or_skip!();
    let shop = Shop::open(kafka);
    for (arguments, expected) in [
        (&["--purpose", "ofers"][..], OFFERS),
        (&["--segment", "preschol"], "preschool-explorers"),
        (&["--segment", "preschool-page"], "contextual"),
        (&["--segment", "preschool-explorers", "--purpose", "partner-advertising"], "teen-catalog"),
    ] {
        let refused = shop.run(&[&["segments", "list"], arguments].concat());
        assert_eq!(refused.code, Some(64), "{refused:?}");
        assert!(refused.stderr.contains(expected), "{refused:?}");
    }
    for json in [&[][..], &["--json"]] {
        let nothing = shop.run(&[&["segments", "list"], json].concat()).ok();
        assert_eq!((nothing.stdout.as_str(), nothing.stderr.lines().count()), ("", 1));
        assert!(nothing.stderr.contains("nothing was ever assigned"), "{nothing:?}");
    }
    let verified = shop.run(&["verify"]).ok().stdout;
    assert!(verified.ends_with("nothing to check: the topics hold no records\n"), "{verified}");
}

#[test]
fn of_two_decisions_for_one_purpose_none_is_taken() {
    let kafka = kafka_or_skip!();
    let shop = Shop::open(kafka);
    let twice =
        ["--purpose", "personalized-offers=denied", "--purpose", "personalized-offers=granted"];
    let refused = shop.run(&[&["consent", "put", SUBJECT], &twice[..]].concat());
    assert_eq!(refused.code, Some(64), "{refused:?}");

    let text = consent(SUBJECT, 1, 1_000).to_string();
    let decision = r#""personalized-offers":{"status":"DENIED","since":1},"#;
    let twice = text.replace(r#""decisions":{"#, &format!(r#""decisions":{{{decision}"#));
    assert_ne!(twice, text);
    let file = write(&shop, "twice.jsonl", &format!("{text}\n{twice}\n"));
    let file = file.to_str().expect("UTF-8");
    for command in [&["replay", file][..], &["consent", "put", SUBJECT, "--json-file", file]] {
        let refused = shop.run(command);
        assert_eq!(refused.code, Some(65), "{refused:?}");
        assert!(!refused.stderr.contains("family"), "{refused:?}");
    }
    let refused = shop.run(&["replay", file]);
    assert!(refused.stderr.contains("twice.jsonl:2: a purpose in decisions appears twice"));
    assert!(shop.committed("consent-changelog").is_empty());
}

fn list(shop: &Shop<'_>, filter: &[&str]) -> Vec<Value> {
    let finished: Finished = shop.run(&[&["segments", "list", "--json"], filter].concat());
    finished.ok().json_lines()
}

fn value(schema: &str, record: &Record) -> Value {
    decode(schema, record.value.as_deref().expect("a value"))
}

fn json_lines(values: impl Iterator<Item = Value>) -> String {
    values.fold(String::new(), |text, value| text + &value.to_string() + "\n")
}

fn write(shop: &Shop<'_>, name: &str, text: &str) -> PathBuf {
    let path = shop.folder().join(name);
    std::fs::write(&path, text).expect("written");
    path
}

fn click(session: &str, occurred_at: i64) -> Value {
    json!({
        "event_id": "018f4e6a-0000-7000-8000-000000000001",
        "session_id": session,
        "occurred_at": occurred_at,
        "kind": "PRODUCT_VIEW",
        "category": "preschool-toys",
    })
}

fn consent(subject: &str, version: i64, at: i64) -> Value {
    json!({
        "subject_id": subject,
        "version": version,
        "recorded_at": at,
        "age_band": "FROM_18",
        "decisions": {OFFERS: {"status": "GRANTED", "since": at}},
    })
}
