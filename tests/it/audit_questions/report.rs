//! `subject report`: all that is held about one subject, and what is left after an erasure.

use std::time::Duration;

use serde_json::{Value, json};

use super::{ADS, OFFERS, ask, asked_shop, await_entries, become_assigned, recorded, started};
use crate::audit::hex;
use crate::support::{pseudonym, pseudonym_bytes, view, wait_until};

const SUBJECT: &str = "the-one-who-wants-to-know";
const MONTHS_24: i64 = 731 * 86_400_000;

#[test]
fn a_report_tells_all_and_after_an_erasure_what_is_left() {
    let kafka = kafka_or_skip!();
    let shop = asked_shop(kafka, "report-1");
    let service = started(&shop);
    become_assigned(&shop, SUBJECT);
    let report = || ask(&shop, &["subject", "report", SUBJECT, "--json"]).ok().json();
    let held = report();
    let fields: Vec<&String> = held.as_object().unwrap().keys().collect();
    assert_eq!(fields, ["subject_token", "consent", "purposes", "audit_entries"]);
    assert_eq!(held["subject_token"], hex(&pseudonym_bytes("audit", SUBJECT)));
    assert_eq!(held["consent"]["record"]["subject_id"], SUBJECT);
    assert_eq!(held["consent"]["record"]["version"], 1);
    let none = |field: &str| held["consent"][field] == Value::Null;
    assert!(none("signal_at") && none("erased_at") && none("kept_until"), "{held:#}");
    assert_eq!(held["audit_entries"], 3);
    for (purpose, segment) in [(ADS, "shown"), (OFFERS, "lookers")] {
        let it = held["purposes"].as_array().unwrap().iter().find(|it| it["purpose"] == purpose);
        let it = it.unwrap();
        assert_eq!(it["pseudonym"], pseudonym(purpose, SUBJECT));
        assert_eq!((&it["verdict"], &it["segments"]), (&json!("OPT_IN"), &json!([segment])));
        assert!(it["expires_at"].is_i64());
        assert_eq!(it["counters"][0]["kept"].as_array().unwrap().len(), 2, "{it:#}");
    }
    let text = ask(&shop, &["subject", "report", SUBJECT, "--markdown"]).ok().stdout;
    assert!(text.contains("## partner-advertising: Advertising"), "{text}");
    assert!(text.contains("- shown: ") || text.contains("  - shown: To test"), "{text}");

    kafka.produce([shop.erasure(SUBJECT)]);
    await_entries(&shop, SUBJECT, 4);
    let left = wait_until(Duration::from_secs(30), "the state", || {
        let left = report();
        (!left["consent"]["erased_at"].is_null()).then_some(left)
    });
    let erased_at = left["consent"]["erased_at"].as_i64().unwrap();
    assert_eq!(left["consent"]["kept_until"], erased_at + MONTHS_24);
    assert_eq!(left["consent"]["record"], Value::Null);
    for it in left["purposes"].as_array().unwrap() {
        assert_eq!(it["verdict"], "NO_CONSENT_RECORD");
        assert_eq!((&it["segments"], &it["counters"]), (&json!([]), &json!([])));
        assert_eq!(it["expires_at"], Value::Null);
    }
    let text = ask(&shop, &["subject", "report", SUBJECT]).ok().stdout;
    assert!(text.contains("it was erased") && text.contains("11 CCR 7101"), "{text}");

    kafka.produce([shop.click(&view("a-stranger"))]);
    let stranger = ask(&shop, &["subject", "report", "a-stranger", "--json"]).ok().json();
    assert_eq!(
        (&stranger["consent"]["record"], &stranger["audit_entries"]),
        (&Value::Null, &json!(0))
    );
    service.stop();
    let asked = recorded(&shop);
    assert!(asked.iter().all(|it| it["command"] == "SUBJECT_REPORT" && !it["subject"].is_null()));
    let unseen = crate::support::Finished::of(
        shop.command(&["subject", "report", SUBJECT])
            .env("ASSENT__TOPICS__AUDIT_ACCESS", "no-such-topic"),
    );
    assert_eq!((unseen.code, unseen.stdout.as_str()), (Some(1), ""), "{unseen:?}");
}
