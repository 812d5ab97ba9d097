//! `audit affected`: a consent source that sent its opt-outs 40 days late.

use serde_json::{Value, json};

use super::{ADS, OFFERS, ask, asked_shop, await_entries, become_assigned, recorded, started};
use crate::audit::hex;
use crate::support::{consent, now_ms, pseudonym_bytes, with};

const DAYS_40: i64 = 40 * 86_400_000;

#[test]
fn opt_outs_that_came_late_name_who_was_live_meanwhile() {
    let kafka = kafka_or_skip!();
    let shop = asked_shop(kafka, "affected-1");
    declare_reader(&shop);
    let service = started(&shop);
    let late = ["late-0", "late-1", "late-2"];
    for subject in late.iter().chain(&["in-time", "untouched"]) {
        become_assigned(&shop, subject);
    }
    let said = now_ms() - DAYS_40;
    let opt_out = |subject: &str, recorded_at: i64, source: &str| {
        let record = consent(subject, 2, "WITHDRAWN", &[ADS]);
        let granted = consent(subject, 2, "GRANTED", &[OFFERS])["decisions"].clone();
        let record = with(record, json!({"recorded_at": recorded_at, "source": source}));
        shop.consent(&with(record, json!({"decisions": granted})))
    };
    kafka.produce(late.map(|subject| opt_out(subject, said, "portal")));
    kafka.produce([opt_out("in-time", now_ms(), "cmp")]);
    for subject in late.iter().chain(&["in-time"]) {
        await_entries(&shop, subject, 4);
    }
    service.stop();

    let (from, to) = ((said - 1).to_string(), (now_ms() + 60_000).to_string());
    let affected = |more: &[&str]| {
        let window = ["audit", "affected", "--from", &from, "--to", &to, "--json"];
        ask(&shop, &[&window[..], more].concat()).ok().json()
    };
    let found = affected(&["--source", "portal"]);
    assert_eq!(found["counts"], json!([{"purpose": ADS, "subjects": 3}]), "{found:#}");
    let mailer = json!({"purpose": ADS, "id": "mail", "kind": "third_party", "group_id": "mailer"});
    assert_eq!(found["readers"], json!([mailer]), "{found:#}");
    let mut tokens: Vec<String> = late.map(|it| hex(&pseudonym_bytes("audit", it))).into();
    tokens.sort();
    let rows = found["affected"].as_array().unwrap();
    let mut named: Vec<&str> = rows.iter().map(|it| it["subject"].as_str().unwrap()).collect();
    named.sort_unstable();
    assert_eq!(named, tokens);
    for row in rows {
        assert_eq!((&row["verdict"], &row["age_band"]), (&json!("OPTED_OUT"), &json!("FROM_18")));
        let (first, last) = (row["first"].as_i64().unwrap(), row["last"].as_i64().unwrap());
        assert!(said < first && first < last && last <= now_ms(), "{row}");
    }
    assert!(!found.to_string().contains("late-"), "INV-6");

    // A file of corrections: one more had opted out, and nobody ever wrote it down.
    let file = shop.folder().join("corrected.jsonl");
    let record = consent("untouched", 1, "DENIED", &[ADS, OFFERS]);
    let record = with(record, json!({"recorded_at": said}));
    std::fs::write(&file, format!("{record}\n")).unwrap();
    let found = affected(&["--corrected", file.to_str().unwrap()]);
    let counts = json!([{"purpose": ADS, "subjects": 1}, {"purpose": OFFERS, "subjects": 1}]);
    assert_eq!(found["counts"], counts, "{found:#}");
    assert_eq!(found["readers"], json!([mailer]), "OFFERS has no declared reader: {found:#}");
    let file_hash = &recorded(&shop)[1]["filter"];
    assert!(file_hash.as_str().unwrap().contains("corrected="), "{file_hash}");

    let table =
        ask(&shop, &["audit", "affected", "--from", &from, "--to", &to, "--source", "portal"]);
    let table = table.ok().stdout;
    assert!(table.contains("partner-advertising  FROM_18: 3 subjects"), "{table}");
    let read = "partner-advertising  could be read by: mail (a third party, group mailer)";
    assert!(table.contains(read), "{table}");
    assert_eq!(affected(&["--source", "nobody"])["affected"], json!([]) as Value);
    mistakes(&shop, &from, &to);
}

fn declare_reader(shop: &crate::support::Shop<'_>) {
    let path = shop.folder().join("rulebook.yaml");
    let rulebook = std::fs::read_to_string(&path).unwrap();
    let plain = "sale_or_share: true, requires_opt_in: true, retention: 30d}";
    let read = "sale_or_share: true, requires_opt_in: true, retention: 30d, \
                readers: [{id: mail, kind: third_party, group_id: mailer}]}";
    assert!(rulebook.contains(plain), "{rulebook}");
    std::fs::write(path, rulebook.replace(plain, read)).unwrap();
}

fn mistakes(shop: &crate::support::Shop<'_>, from: &str, to: &str) {
    std::fs::write(shop.folder().join("wrong.jsonl"), "{\"subject_id\": \"s\"}\n").unwrap();
    let before = recorded(shop).len();
    for (arguments, code, says) in [
        (vec!["--from", to, "--to", from], 64, "later than --from"),
        (vec!["--from", from, "--to", to, "--corrected", "absent.jsonl"], 65, "absent.jsonl"),
        (vec!["--from", from, "--to", to, "--corrected", "wrong.jsonl"], 65, "wrong.jsonl:1"),
    ] {
        let refused = ask(shop, &[vec!["audit", "affected"], arguments].concat());
        assert_eq!((refused.code, refused.stdout.as_str()), (Some(code), ""), "{refused:?}");
        assert!(refused.stderr.contains(says), "{refused:?}");
    }
    assert_eq!(recorded(shop).len(), before);
}
